<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\App;
use Causeway\Event\RpcRequest;
use Causeway\Raw;
use Causeway\Result\RpcResult;
use Causeway\Rpc\ApiException;
use Causeway\Rpc\ServerException;
use Causeway\Testing\TestClient;
use Causeway\Testing\TestRpc;
use PHPUnit\Framework\TestCase;

final class TestRpcTest extends TestCase
{
    public function testItKeepsWhatHandlersPublish(): void
    {
        $test = new TestRpc();
        $app = (new App())->onRpc('announce', function (RpcRequest $request) use ($test): void {
            $test->rpc->centrifugo->publish('news', ['text' => $request->json()], tags: ['kind' => 'greeting']);
            $test->rpc->centrifugo->broadcast(['news', 'other'], 1);
            $test->rpc->centrifugo->publish('raw', new Raw("\xff"));
            $test->rpc->call('centrifuge.Publish', ['channel' => 'news', 'data' => 'json']);
            $test->rpc->stream->publish('s-1', [1]);
        });
        self::assertTrue((new TestClient($app))->rpc('announce', 'hello')->ok);
        self::assertSame([['text' => 'hello'], 1, 'json'], $test->published('news'));
        self::assertSame([[1], ["\xff"], [[1]], []], array_map($test->published(...), ['other', 'raw', 's-1', 'none']));
        $first = ['channel' => 'news', 'data' => ['text' => 'hello'], 'tags' => ['kind' => 'greeting']];
        self::assertSame($first, $test->calls('centrifuge.Publish')[0] ?? null);
    }

    public function testItReturnsAndThrowsWhatATestSays(): void
    {
        $test = (new TestRpc())
            ->returns('centrifuge.PresenceStats', ['result' => ['num_users' => 7]])
            ->returns('centrifuge.Info', ['error' => ['code' => 108, 'message' => 'not available']])
            ->returns('lock.Lock', ['ok' => true])
            ->returns('stream.Close', new ServerException('no such stream'));
        self::assertSame(7, (int) $test->rpc->centrifugo->presenceStats('news')->getNumUsers());
        self::assertSame(32, strlen((string) $test->rpc->lock->lock('report', ttl: 1)));
        self::assertSame('report', $test->calls('lock.Lock')[0]['resource'] ?? null);
        try {
            $test->rpc->centrifugo->info();
            self::fail('it was answered');
        } catch (ApiException $error) {
            self::assertSame(108, $error->getCode());
        }
        $this->expectExceptionMessage('no such stream');
        $test->rpc->stream->close('s-1');
    }

    public function testHandlersGetItFromTheContainerToo(): void
    {
        $test = new TestRpc();
        $container = new Container([\Causeway\Rpc::class => fn () => $test->rpc]);
        $app = (new App(container: $container))->onRpc('x', function (RpcRequest $request, \Causeway\Rpc $rpc): RpcResult {
            $rpc->metrics->add('calls', 2.0);

            return new RpcResult($rpc->address);
        });
        self::assertTrue((new TestClient($app))->rpc('x')->ok);
        self::assertCount(1, $test->calls('metrics.Add'));
    }
}
