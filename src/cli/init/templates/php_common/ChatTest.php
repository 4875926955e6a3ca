<?php

declare(strict_types=1);

namespace App\Tests\Centrifugo;

use App\Centrifugo\Chat;
use Causeway\App;
use Causeway\Testing\TestClient;
use Causeway\Testing\TestRpc;
use PHPUnit\Framework\TestCase;

/** The handlers, without a server. */
final class ChatTest extends TestCase
{
    private TestRpc $rpc;
    private TestClient $client;

    protected function setUp(): void
    {
        $this->rpc = new TestRpc();
        $this->client = new TestClient((new App())->services([new Chat($this->rpc->rpc)]));
    }

    public function testAUserConnectsAndIsGreeted(): void
    {
        self::assertSame(['user' => 'ann'], $this->client->connect(['user' => 'ann'])->data);
        self::assertSame(['hello' => 'ann'], $this->client->rpc('hello')->data);
        self::assertSame(['user' => 'guest'], $this->client->connect()->data);
    }

    public function testThereIsOneChannel(): void
    {
        self::assertTrue($this->client->subscribe('chat')->ok);
        self::assertSame(403, $this->client->subscribe('other')->error?->getCode());
    }

    public function testAMessageIsPublished(): void
    {
        self::assertSame('said', $this->client->rpc('say', ['text' => 'hi'], user: 'ann')->data);
        self::assertSame([['from' => 'ann', 'text' => 'hi']], $this->rpc->published('chat'));
        self::assertSame(400, $this->client->rpc('say', ['text' => ' '])->error?->getCode());
    }
}
