<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Frame;
use Causeway\FrameException;
use Causeway\Payload;
use Causeway\Relay;
use Causeway\Worker;
use PHPUnit\Framework\TestCase;

final class WorkerTest extends TestCase
{
    /** @var list<string> */
    private array $writes = [];

    public function testAnAnswerAndItsEchoAreOneWriteAndDoNotWaitForOtherRequests(): void
    {
        $this->play(self::request('a') . self::fence() . self::request('b') . self::request('c') . self::fence());
        self::assertSame([self::answer('a') . self::echo(), self::answer('b'), self::answer('c') . self::echo()], $this->writes);
    }

    public function testEveryFenceIsEchoedWhateverItsBytes(): void
    {
        $this->play(self::fence() . self::fence() . self::fence('{"pid":2}') . self::fence() . self::fence('nonsense'));
        self::assertSame([str_repeat(self::echo(), 5)], $this->writes);
    }

    public function testTheFirstEchoCarriesTheSecretOfTheRelay(): void
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

    public function testNothingIsHandledAfterAStop(): void
    {
        $this->play(self::request('a') . self::fence() . self::fence('{"stop":true}') . self::request('b'));
        self::assertSame([self::answer('a') . self::echo()], $this->writes);
    }

    public function testABrokenFrameDoesNotLoseEarlierAnswers(): void
    {
        try {
            $this->play(self::request('a') . self::fence() . str_repeat('?', 12));
            self::fail('it was accepted as a frame');
        } catch (FrameException) {
            self::assertSame([self::answer('a') . self::echo()], $this->writes);
        }
    }

    public function testFramesAreFoundWhereverTheirBytesAreSplit(): void
    {
        $bytes = self::fence() . self::request('first') . self::fence() . self::request('second') . self::fence('{"pid":2}');
        $this->play($bytes);
        $whole = implode('', $this->writes);
        for ($cut = 1; $cut < strlen($bytes); ++$cut) {
            $this->writes = [];
            [$input, $far] = self::datagrams();
            foreach ([substr($bytes, 0, $cut), substr($bytes, $cut), self::fence('{"stop":true}')] as $chunk) {
                fwrite($far, $chunk);
            }
            $this->serve($input);
            self::assertSame($whole, implode('', $this->writes), "split at $cut");
        }
    }

    public function testAContextEndsWithItsFrameWhateverLengthItClaims(): void
    {
        $this->play((new Frame('{}', Frame::PROTO, [9]))->encode());
        self::assertSame([self::answer('')], $this->writes);
    }

    public function testAServerThatClosesTheRelayEndsTheLoop(): void
    {
        [$near, $far] = (array) stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        fwrite($far, self::request('a') . self::fence());
        (new Worker(new Relay($near, $near)))->run(static function () use (&$far): string {
            fclose($far);

            return 'lost';
        });
        $this->addToAssertionCount(1);
    }

    public function testAllBytesAreWrittenEvenIfTheRelayTakesAFewAtATime(): void
    {
        $slow = new class () {
            /** @var resource|null */
            public $context;
            public static string $written = '';
            private bool $isReady = false;

            public function stream_open(): bool
            {
                return true;
            }

            /** Takes seven bytes with every other call: PHP repeats a call until nothing is taken. */
            public function stream_write(string $bytes): int
            {
                $this->isReady = !$this->isReady;
                $taken = $this->isReady ? substr($bytes, 0, 7) : '';
                self::$written .= $taken;

                return strlen($taken);
            }
        };
        stream_wrapper_register('slow', $slow::class);
        try {
            $output = fopen('slow://', 'w');
            $input = fopen('php://memory', 'r');
            assert($output !== false && $input !== false);
            (new Relay($input, $output))->write('twenty bytes or more');
        } finally {
            stream_wrapper_unregister('slow');
        }
        self::assertSame('twenty bytes or more', $slow::$written);
    }

    /** Runs a worker that answers each request with its body. */
    private function play(string $bytes): void
    {
        $input = fopen('php://temp', 'w+');
        assert($input !== false);
        fwrite($input, $bytes);
        rewind($input);
        $this->serve($input);
    }

    /** @param resource $input */
    private function serve($input): void
    {
        [$output, $far] = self::datagrams();
        stream_set_blocking($far, false);
        try {
            (new Worker(new Relay($input, $output)))->run(static fn (Payload $payload): string => $payload->body);
        } finally {
            while (($write = (string) stream_socket_recvfrom($far, 65536)) !== '') {
                $this->writes[] = $write;
            }
        }
    }

    /** @return array{resource, resource} two ends of a socket that keeps writes apart */
    private static function datagrams(): array
    {
        $pair = stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_DGRAM, 0);
        assert($pair !== false);

        return $pair;
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
