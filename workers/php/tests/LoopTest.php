<?php

declare(strict_types=1);

namespace Causeway\Worker\Tests;

use Causeway\Worker\Frame;
use Causeway\Worker\FrameException;
use Causeway\Worker\Loop;
use Causeway\Worker\Payload;
use Causeway\Worker\Relay;
use PHPUnit\Framework\TestCase;

final class LoopTest extends TestCase
{
    /** @var list<string> */
    private array $writes = [];

    public function testAnAnswerAndItsEchoAreOneWriteAndWaitForNoOtherRequest(): void
    {
        $this->play(self::request('a') . self::question() . self::request('b') . self::request('c') . self::question());
        self::assertSame([self::answer('a') . self::echo(), self::answer('b'), self::answer('c') . self::echo()], $this->writes);
    }

    public function testEachQuestionIsAnsweredWhateverItsWordsAre(): void
    {
        $this->play(self::question() . self::question() . self::question('{"pid":2}') . self::question() . self::question('nonsense'));
        self::assertSame([str_repeat(self::echo(), 5)], $this->writes);
    }

    public function testTheFirstAnswerOfAHandshakeCarriesTheSecretOfTheRelay(): void
    {
        putenv('CAUSEWAY_RELAY_SECRET=s3cret');
        try {
            $this->play(self::question() . self::request('a') . self::question());
        } finally {
            putenv('CAUSEWAY_RELAY_SECRET');
        }
        $greeting = (new Frame('{"pid":' . getmypid() . ',"secret":"s3cret"}', Frame::CONTROL))->encode();
        self::assertSame([$greeting, self::answer('a') . self::echo()], $this->writes);
    }

    public function testNothingIsReadBehindAStop(): void
    {
        $this->play(self::request('a') . self::question() . self::question('{"stop":true}') . self::request('b'));
        self::assertSame([self::answer('a') . self::echo()], $this->writes);
    }

    public function testABrokenFrameTakesNoAnswerWithIt(): void
    {
        try {
            $this->play(self::request('a') . self::question() . str_repeat('?', 12));
            self::fail('it was taken for a frame');
        } catch (FrameException) {
            self::assertSame([self::answer('a') . self::echo()], $this->writes);
        }
    }

    /** Runs a loop over this input, whose answers repeat the requests' bodies. */
    private function play(string $bytes): void
    {
        $input = fopen('php://temp', 'w+');
        assert($input !== false);
        fwrite($input, $bytes);
        rewind($input);
        // A socket of datagrams keeps writes apart.
        $pair = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_DGRAM, 0);
        assert($pair !== false);
        [$output, $far] = $pair;
        stream_set_blocking($far, false);
        try {
            (new Loop(new Relay($input, $output)))->run(static fn (Payload $payload): string => $payload->body);
        } finally {
            while (($write = (string) stream_socket_recvfrom($far, 65536)) !== '') {
                $this->writes[] = $write;
            }
        }
    }

    private static function request(string $body): string
    {
        return (new Frame($body, Frame::PROTO, [0]))->encode();
    }

    private static function answer(string $body): string
    {
        return (new Frame($body, options: [0]))->encode();
    }

    private static function question(string $payload = '{"pid":1}'): string
    {
        return (new Frame($payload, Frame::CONTROL | Frame::JSON))->encode();
    }

    private static function echo(): string
    {
        return (new Frame('{"pid":' . getmypid() . '}', Frame::CONTROL))->encode();
    }
}
