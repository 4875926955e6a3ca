<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Frame;
use Causeway\FrameException;
use Causeway\Worker;
use Causeway\Payload;
use Causeway\Relay;
use PHPUnit\Framework\TestCase;

final class WorkerTest extends TestCase
{
    /** @var list<string> */
    private array $writes = [];

    public function testAnAnswerAndItsEchoAreOneWriteAndWaitForNoOtherRequest(): void
    {
        $this->play(self::request('a') . self::fence() . self::request('b') . self::request('c') . self::fence());
        self::assertSame([self::answer('a') . self::echo(), self::answer('b'), self::answer('c') . self::echo()], $this->writes);
    }

    public function testEachQuestionIsAnsweredWhateverItsWordsAre(): void
    {
        $this->play(self::fence() . self::fence() . self::fence('{"pid":2}') . self::fence() . self::fence('nonsense'));
        self::assertSame([str_repeat(self::echo(), 5)], $this->writes);
    }

    public function testTheFirstAnswerOfAHandshakeCarriesTheSecretOfTheRelay(): void
    {
        putenv('CAUSEWAY_RELAY_SECRET=s3cret');
        try {
            $this->play(self::fence() . self::request('a') . self::fence());
        } finally {
            putenv('CAUSEWAY_RELAY_SECRET');
        }
        $greeting = (new Frame('{"pid":' . getmypid() . ',"secret":"s3cret"}', Frame::CONTROL))->encode();
        self::assertSame([$greeting, self::answer('a') . self::echo()], $this->writes);
    }

    public function testNothingIsReadBehindAStop(): void
    {
        $this->play(self::request('a') . self::fence() . self::fence('{"stop":true}') . self::request('b'));
        self::assertSame([self::answer('a') . self::echo()], $this->writes);
    }

    public function testABrokenFrameTakesNoAnswerWithIt(): void
    {
        try {
            $this->play(self::request('a') . self::fence() . str_repeat('?', 12));
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
            (new Worker(new Relay($input, $output)))->run(static fn (Payload $payload): string => $payload->body);
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

    private static function fence(string $payload = '{"pid":1}'): string
    {
        return (new Frame($payload, Frame::CONTROL | Frame::JSON))->encode();
    }

    private static function echo(): string
    {
        return (new Frame('{"pid":' . getmypid() . '}', Frame::CONTROL))->encode();
    }
}
