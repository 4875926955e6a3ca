<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Frame;
use Causeway\Rpc;
use Causeway\Rpc\ConnectionException;
use Causeway\Rpc\TimeoutException;

/**
 * The RPC client against a misbehaving server.
 *
 * @requires extension pcntl
 * @requires extension posix
 */
final class RpcTest extends RpcTestCase
{
    private string $folder = '';

    protected function tearDown(): void
    {
        parent::tearDown();
        if ($this->folder !== '') {
            array_map(unlink(...), (array) glob("$this->folder/*"));
            rmdir($this->folder);
        }
    }

    public function testCallsShareAConnectionAndNumberTheirRequests(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $peer->version();
            $peer->refuse($peer->receive(), 'no');
            $peer->version();
            $peer->expectEnd();
        });
        self::assertSame('1', $rpc->version());
        self::assertSame('no', self::failure(fn () => $rpc->version())->getMessage());
        self::assertSame('3', $rpc->version());
        $rpc->close();
        $this->server?->finish();
    }

    public function testACallReconnectsAfterTheServerClosedTheConnection(): void
    {
        $rpc = $this->serve(fn (Peer $peer) => $peer->version(), fn (Peer $peer) => $peer->version());
        self::assertSame('1', $rpc->version());
        $this->server?->wait(0);
        self::assertSame('1', $rpc->version());
        $this->server?->finish();
    }

    public function testACallThatMayHaveRunIsNotRepeated(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $peer->version();
            $peer->receive();
        }, fn (Peer $peer) => $peer->version());
        $rpc->version();
        $error = self::failure(fn () => $rpc->version());
        self::assertInstanceOf(ConnectionException::class, $error);
        self::assertTrue($error->mayHaveRun);
        self::assertSame('the server closed the connection before it answered rpc.Version', $error->getMessage());
        self::assertSame('1', $rpc->version());
        $this->server?->finish();
    }

    public function testACallThatCouldNotBeSentIsRetriedOnANewConnection(): void
    {
        $begin = static function (Peer $peer): void {
            $peer->version();
            // Reads the start of the next request, so that the client is in the middle of writing.
            $peer->read(10);
        };
        $rpc = $this->serve($begin, fn (Peer $peer) => $peer->version());
        $rpc->version();
        self::assertSame('1', $rpc->call('rpc.Version', str_repeat('x', 20_000_000)));
        $this->server?->finish();
    }

    public function testACallThatCannotBeSentOnANewConnectionFailsAtOnce(): void
    {
        $rpc = $this->serve(fn (Peer $peer) => $peer->read(10));
        $error = self::failure(fn () => $rpc->call('rpc.Version', str_repeat('x', 20_000_000)));
        self::assertInstanceOf(ConnectionException::class, $error);
        self::assertStringContainsString('could not be sent: ', $error->getMessage());
        self::assertFalse($error->mayHaveRun);
        $this->server?->finish();
    }

    /** @return iterable<string, array{int}> */
    public static function cuts(): iterable
    {
        foreach ([0, 5, 12, 20, -1] as $cut) {
            yield "at $cut" => [$cut];
        }
    }

    /** @dataProvider cuts */
    public function testATruncatedReplyIsAnError(int $cut): void
    {
        $rpc = $this->serve(fn (Peer $peer) => $peer->send(substr($peer->reply($peer->receive(), '"1"'), 0, $cut)));
        $error = self::failure(fn () => $rpc->version());
        self::assertInstanceOf(ConnectionException::class, $error);
        self::assertTrue($error->mayHaveRun);
    }

    public function testAReplyMayArriveByteByByte(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            foreach (str_split($peer->reply($peer->receive(), '"slow"')) as $byte) {
                $peer->send($byte);
                usleep(100);
            }
        });
        self::assertSame('slow', $rpc->version());
    }

    public function testLargeArgumentsAndResultsArrive(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $request = $peer->receive();
            $peer->answer($request, substr($request->payload, $request->options[1]));
        });
        $argument = str_repeat('ü', 5_000_000);
        self::assertTrue($argument === $rpc->call('echo.It', $argument));
    }

    /** @return iterable<string, array{callable(Peer, Frame): string, string}> */
    public static function broken(): iterable
    {
        $flipped = static function (Peer $peer, Frame $request): string {
            $reply = $peer->reply($request, '"1"');
            $reply[7] = $reply[7] ^ "\x01";

            return $reply;
        };
        yield 'checksum' => [$flipped, 'invalid reply to rpc.Version: wrong checksum'];
        yield 'no frame' => [fn () => "HTTP/1.1 400 Bad Request\r\n\r\n", 'invalid reply to rpc.Version: not a frame'];
        yield 'sequence' => [fn (Peer $peer, Frame $request) => $peer->reply($request, '"1"', sequence: 7), 'other than the reply to call 1'];
        yield 'method' => [fn (Peer $peer, Frame $request) => (new Frame('rpc.Versiom"1"', Frame::JSON, [1, 11]))->encode(), 'other than the reply to call 1'];
        yield 'one option' => [fn () => (new Frame('"1"', Frame::JSON, [1]))->encode(), 'other than the reply to call 1'];
        yield 'no option' => [fn () => (new Frame('"1"', Frame::JSON))->encode(), 'other than the reply to call 1'];
    }

    /**
     * @dataProvider broken
     * @param callable(Peer, Frame): string $reply
     */
    public function testAnInvalidReplyIsAnErrorAndClosesTheConnection(callable $reply, string $text): void
    {
        $break = static function (Peer $peer) use ($reply): void {
            $peer->send($reply($peer, $peer->receive()));
            $peer->expectEnd();
        };
        $rpc = $this->serve($break, fn (Peer $peer) => $peer->version());
        $error = self::failure(fn () => $rpc->version());
        self::assertInstanceOf(ConnectionException::class, $error);
        self::assertStringContainsString($text, $error->getMessage());
        self::assertTrue($error->mayHaveRun);
        self::assertSame('1', $rpc->version());
        $this->server?->finish();
    }

    public function testAResultInAnotherCodecOrThatCannotBeDecodedIsAnError(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $peer->answer($peer->receive(), "\xa11", Frame::MSGPACK);
            $peer->answer($peer->receive(), '{');
            $peer->answer($peer->receive(), "\x12\xff");
        });
        self::assertStringContainsString('encoded as 0x10', self::failure(fn () => $rpc->version())->getMessage());
        self::assertStringContainsString('not JSON', self::failure(fn () => $rpc->version())->getMessage());
        self::assertStringContainsString('PublishResponse', self::failure(fn () => $rpc->centrifugo->publish('x', 1))->getMessage());
    }

    public function testUnexpectedBytesCloseTheConnectionAndFailNoCall(): void
    {
        $twice = static function (Peer $peer): void {
            $peer->send(str_repeat($peer->reply($peer->receive(), '"1"'), 2));
            $peer->expectEnd();
        };
        $rpc = $this->serve($twice, $twice);
        self::assertSame('1', $rpc->version());
        self::assertSame('1', $rpc->version());
        $rpc->close();
        $this->server?->finish();
    }

    public function testACallWithoutAReplyTimesOut(): void
    {
        $silent = static function (Peer $peer): void {
            $peer->receive();
            $peer->expectEnd();
        };
        $rpc = $this->serve($silent, $silent, fn (Peer $peer) => $peer->version());
        $error = self::failure(fn () => $rpc->call('rpc.Version', true, timeout: 1.0));
        self::assertInstanceOf(TimeoutException::class, $error);
        self::assertTrue($error->mayHaveRun);
        $error = self::failure(fn () => (new Rpc($rpc->address, 1.0))->version());
        self::assertSame('rpc.Version was not answered in time', $error->getMessage());
        self::assertSame('1', $rpc->version());
        $this->server?->finish();
    }

    public function testACallTimesOutWhileTheServerReadsNothing(): void
    {
        $rpc = $this->serve(fn () => sleep(RpcServer::PATIENCE));
        $error = self::failure(fn () => $rpc->call('x.Y', str_repeat('x', 50_000_000), timeout: 0.5));
        self::assertInstanceOf(TimeoutException::class, $error);
        self::assertFalse($error->mayHaveRun);
    }

    public function testACallWithTooManyOpenFilesFailsAtOnce(): void
    {
        if ((posix_getrlimit()['soft openfiles'] ?? 0) < 1200) {
            self::markTestSkipped('this process may not open 1024 files');
        }
        $rpc = $this->serve(fn (Peer $peer) => $peer->expectEnd());
        $files = array_map(static fn () => fopen('/dev/null', 'r'), range(1, 1024));
        $error = self::failure(fn () => $rpc->version());
        array_map(fclose(...), array_filter($files));
        self::assertInstanceOf(ConnectionException::class, $error);
        self::assertSame("cannot wait for $rpc->address: this process has too many open files", $error->getMessage());
        self::assertFalse($error->mayHaveRun);
    }

    public function testSignalsDoNotInterruptACall(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $request = $peer->receive();
            for ($count = 0; $count < 20; ++$count) {
                posix_kill((int) json_decode(substr($request->payload, 11)), SIGUSR1);
                usleep(5000);
            }
            $peer->answer($request, '"1"');
        });
        $signals = 0;
        pcntl_async_signals(true);
        pcntl_signal(SIGUSR1, static function () use (&$signals): void {
            ++$signals;
        }, false);
        try {
            self::assertSame('1', $rpc->call('rpc.Version', getmypid()));
        } finally {
            pcntl_signal(SIGUSR1, SIG_DFL);
            pcntl_async_signals(false);
        }
        self::assertGreaterThan(0, $signals);
    }

    public function testTheConfigurationIsFetchedAsRawBytes(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $request = $peer->receive();
            $peer->answer($request, $request->flags === Frame::RAW ? '{"version":"3"}' : 'null');
        });
        self::assertSame(['version' => '3'], $rpc->config());
    }

    public function testAfterAForkTheChildOpensItsOwnConnection(): void
    {
        $parent = static function (Peer $peer): void {
            $peer->version();
            $peer->version();
            $peer->expectEnd();
        };
        $rpc = $this->serve($parent, fn (Peer $peer) => $peer->version());
        self::assertSame('1', $rpc->version());
        $pid = pcntl_fork();
        if ($pid === 0) {
            try {
                $good = $rpc->version() === '1';
            } catch (\Throwable) {
                $good = false;
            }
            // Exits without the shutdown functions of the test runner.
            posix_kill((int) getmypid(), $good ? SIGUSR1 : SIGUSR2);
        }
        pcntl_waitpid($pid, $status);
        self::assertSame(SIGUSR1, pcntl_wtermsig($status));
        self::assertSame('2', $rpc->version());
        $rpc->close();
        $this->server?->finish();
    }

    public function testUnixSocketsWork(): void
    {
        $this->folder = sys_get_temp_dir() . '/causeway-' . bin2hex(random_bytes(8));
        mkdir($this->folder);
        $version = fn (Peer $peer) => $peer->version();
        $this->server = new RpcServer([$version, $version, $version], "$this->folder/rpc.sock");
        self::assertSame('1', (new Rpc($this->server->address))->version());
        $before = (string) getcwd();
        chdir($this->folder);
        putenv('RR_RPC=unix://rpc.sock');
        try {
            self::assertSame('1', (new Rpc('unix://rpc.sock'))->version());
            self::assertSame('1', (new Rpc())->version());
        } finally {
            chdir($before);
            putenv('RR_RPC');
        }
        $this->server->finish();
    }

    public function testTheSharedClientIsOneForTheProcess(): void
    {
        self::assertSame(Rpc::shared(), Rpc::shared());
        self::assertSame(Rpc::shared()->centrifugo, Rpc::shared()->centrifugo);
    }

    public function testACallWithoutAServerFailsAndHasNotRun(): void
    {
        $listener = stream_socket_server('tcp://127.0.0.1:0');
        assert(is_resource($listener));
        $address = 'tcp://' . stream_socket_get_name($listener, false);
        fclose($listener);
        foreach ([$address, 'unix:///nowhere/none.sock'] as $away) {
            $error = self::failure(fn () => (new Rpc($away))->version());
            self::assertInstanceOf(ConnectionException::class, $error);
            self::assertStringStartsWith("cannot connect to $away: ", $error->getMessage());
            self::assertFalse($error->mayHaveRun);
        }
    }

    public function testAnInvalidAddressIsNamed(): void
    {
        foreach (['pipes', 'http://127.0.0.1:1', 'tcp://127.0.0.1', 'unix://', '127.0.0.1:6001'] as $address) {
            try {
                (new Rpc($address))->version();
                self::fail("$address passed");
            } catch (\InvalidArgumentException $error) {
                self::assertStringContainsString("\"$address\"", $error->getMessage());
            }
        }
    }
}
