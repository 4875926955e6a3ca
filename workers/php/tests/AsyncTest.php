<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Async\Loop;
use Causeway\Async\RevoltLoop;
use Causeway\Async\Worker;
use Causeway\Frame;
use Causeway\FrameException;
use Causeway\Payload;
use Causeway\Relay;
use PHPUnit\Framework\TestCase;

/** Workers that handle many requests at a time: on Revolt's event loop where it is installed, otherwise on one of the tests. */
final class AsyncTest extends TestCase
{
    private const OFFER = ['CAUSEWAY_PROTOCOLS' => '1,2', 'CAUSEWAY_CODECS' => 'proto,json'];

    private const OK = '{"result":{}}';

    /** @var list<string> */
    private array $scripts = [];

    protected function tearDown(): void
    {
        array_map(unlink(...), $this->scripts);
    }

    public function testTheHandshakeSaysWhatTheWorkerCanDo(): void
    {
        $worker = $this->worker('');
        $name = 'causeway/worker on PHP ' . PHP_VERSION;
        $greeting = ['pid' => $worker->child(), 'protocol' => 2, 'concurrency' => 64, 'codec' => 'json', 'name' => $name];
        self::assertSame($greeting, json_decode($worker->pid, true));
        $worker->command(pid: 1);
        self::assertSame('{"pid":' . $worker->child() . '}', $worker->receive()->payload);
        self::assertSame(0, $this->end($worker)[0]);
    }

    public function testRequestsThatWaitLetOthersRun(): void
    {
        $worker = $this->worker('
            $app->onRpc("wait", function ($request) { Async::delay($request->json()); return new RpcResult($request->json()); })
                ->onRpc("now", fn () => null);');
        foreach ([1 => 0.2, 2 => 0.1, 3 => 0] as $id => $seconds) {
            $worker->request($id, 'wait', (string) $seconds);
        }
        $worker->request(4, 'now');
        self::assertSame([4, 3, 2, 1], array_keys($worker->answers(4)));
        self::assertSame([0, ''], $this->end($worker));
    }

    public function testInterceptorsOfRequestsAtTheSameTimeHaveTheirOwnContexts(): void
    {
        $worker = $this->worker('
            $app->interceptors(["*" => function ($request, $next) {
                $request->context["number"] = $request->json();
                Async::delay($request->json() % 5 / 1000);
                return $next($request);
            }])->onRpc("*", function ($request) {
                Async::delay(0);
                return $request->json() % 7 === 0 ? throw new Causeway\Error(7, "no") : new RpcResult([$request->context["number"], $request->json()]);
            });', 32);
        $worker->send(...array_map(static fn (int $id): Frame => Supervisor::rpc($id, 'x', (string) $id), range(1, 200)));
        foreach ($worker->answers(200) as $id => $answer) {
            self::assertSame($id % 7 === 0 ? '{"error":{"code":7,"message":"no"}}' : "{\"result\":{\"data\":[$id,$id]}}", $answer);
        }
        self::assertSame([0, ''], $this->end($worker));
    }

    public function testHandlersThatAreReadyTogetherAreAnsweredInOneWrite(): void
    {
        [$worker, $near, $far] = self::pair();
        $frames = array_map(static fn (int $id): string => Supervisor::rpc($id, 'x')->encode(), range(1, 50));
        $run = static function (Payload $payload): string {
            \Causeway\Async::delay(0);

            return 'answer';
        };
        fwrite($far, implode('', $frames));
        fwrite($far, (new Frame('{"stop":true}', Frame::CONTROL | Frame::JSON))->encode());
        $worker->run($run);
        $answers = array_map(static fn (int $id): string => (new Frame('answer', options: [0, $id]))->encode(), range(1, 50));
        self::assertSame(implode('', $answers), stream_socket_recvfrom($far, 65536));
        unset($near);
    }

    public function testNoMoreHandlersRunAtATimeThanTheWorkerClaims(): void
    {
        $worker = $this->worker('
            $app->onRpc("*", function () { static $now = 0, $most = 0; $most = max($most, ++$now); Async::delay(0.001); --$now; return new RpcResult($most); });
        ', 3);
        $worker->send(...array_map(static fn (int $id): Frame => Supervisor::rpc($id, 'x'), range(1, 30)));
        $answers = $worker->answers(30);
        self::assertSame('{"result":{"data":3}}', end($answers));
        self::assertSame([0, ''], $this->end($worker));
    }

    public function testTenThousandRequestsInOneWriteAreAnswered(): void
    {
        $worker = $this->worker('$app->onRpc("*", fn ($request) => new RpcResult($request->json()));');
        $worker->send(...array_map(static fn (int $id): Frame => Supervisor::rpc($id, 'x', (string) $id), range(1, 10_000)));
        $answers = $worker->answers(10_000);
        foreach ($answers as $id => $answer) {
            self::assertSame("{\"result\":{\"data\":$id}}", $answer);
        }
        self::assertSame([0, ''], $this->end($worker));
    }

    public function testRequestsOfAllKindsInPiecesOfAnySizeAreAnsweredOnce(): void
    {
        $worker = $this->worker('
            $app->onRpc("now", fn ($request) => new RpcResult($request->json()))
                ->onRpc("wait", function ($request) { Async::delay(mt_rand(0, 3) / 1000); return new RpcResult($request->json()); })
                ->onRpc("twice", function ($request) { Async::delay(0); echo "x"; Async::delay(0.001); return new RpcResult($request->json()); })
                ->onRpc("throw", fn () => throw new Causeway\WorkerException("failed"))
                ->onRpc("big", fn ($request) => new RpcResult(str_repeat("x", 10_000) . $request->json()))
                ->onSubscribeUnidirectional(function ($request) {
                    foreach (range(1, 3) as $number) { yield new Publication([$request->stream, $number]); mt_rand(0, 1) && Async::delay(0.001); }
                });', 16);
        mt_srand(7);
        $bytes = '';
        $cancelled = $kinds = [];
        for ($id = 1; $id <= 2000; ++$id) {
            $kinds[$id] = ['now', 'wait', 'twice', 'throw', 'big', 'stream'][mt_rand(0, 5)];
            $bytes .= ($kinds[$id] === 'stream' ? Supervisor::event($id, 'subscribeunidirectional', '{}') : Supervisor::rpc($id, $kinds[$id], (string) $id))->encode();
            if (mt_rand(0, 9) === 0) {
                $cancelled[$victim = mt_rand(max(1, $id - 30), $id)] = true;
                $bytes .= (new Frame("{\"cancel\":$victim,\"reason\":\"gone\"}", Frame::CONTROL | Frame::JSON))->encode();
            }
        }
        while ($bytes !== '') {
            $size = mt_rand(1, 3000);
            $worker->sendBytes(substr($bytes, 0, $size));
            $bytes = substr($bytes, $size);
        }
        $ended = [];
        while (count($ended) < 2000) {
            $frame = $worker->receive();
            $id = $frame->options[1];
            self::assertArrayNotHasKey($id, $ended, 'it was answered before');
            if ($frame->stream !== Frame::STREAM) {
                $ended[$id] = ($frame->flags & Frame::ERROR ? '!' : '') . $frame->payload;
            }
        }
        foreach ($ended as $id => $answer) {
            if (!isset($cancelled[$id]) || $answer !== '!cancelled: gone') {
                self::assertSame(match ($kinds[$id]) {
                    'throw' => '!failed',
                    'big' => '{"result":{"data":"' . str_repeat('x', 10_000) . "$id\"}}",
                    'stream' => '',
                    default => "{\"result\":{\"data\":$id}}",
                }, $answer);
            }
        }
        self::assertSame(0, $this->end($worker)[0]);
    }

    public function testFramesAreFoundWhereverTheirBytesAreSplit(): void
    {
        $stop = (new Frame('{"stop":true}', Frame::CONTROL | Frame::JSON))->encode();
        $bytes = Supervisor::rpc(1, 'a')->encode() . (new Frame('', stream: Frame::PING))->encode() . Supervisor::rpc(2, 'b')->encode() . $stop;
        $handler = static fn (Payload $payload): string => $payload->body;
        for ($cut = 1; $cut < strlen($bytes); ++$cut) {
            [$worker, $near, $far] = self::pair();
            fwrite($far, substr($bytes, 0, $cut));
            $worker->loop->defer(static function () use ($worker, $far, $bytes, $cut): void {
                $worker->loop->defer(static fn () => fwrite($far, substr($bytes, $cut)));
            });
            $worker->run($handler);
            unset($worker, $near);
            $received = '';
            while (($chunk = (string) stream_socket_recvfrom($far, 65536)) !== '') {
                $received .= $chunk;
            }
            $frames = [];
            for ($offset = 0; ($frame = Frame::decode($received, $offset)) !== null;) {
                $frames[$frame->options[1] ?? $frame->stream] = $frame->payload;
            }
            ksort($frames);
            $expected = [1 => '{"method":"a","data":null}', 2 => '{"method":"b","data":null}', Frame::PONG => ''];
            self::assertSame([$expected, strlen($received)], [$frames, $offset], "split at $cut");
        }
    }

    public function testAHandlerThatStopsTheLoopDoesNotStopTheWorker(): void
    {
        [$worker, $near, $far] = self::pair();
        $stop = (new Frame('{"stop":true}', Frame::CONTROL | Frame::JSON))->encode();
        fwrite($far, Supervisor::rpc(1, 'a')->encode());
        $worker->run(static function () use ($worker, $far, $stop): string {
            $worker->loop->defer(static function () use ($far, $stop): void {
                fwrite($far, Supervisor::rpc(2, 'b')->encode() . $stop);
            });
            $worker->loop->stop();

            return 'answer';
        });
        $answers = array_map(static fn (int $id): string => (new Frame('answer', options: [0, $id]))->encode(), [1, 2]);
        self::assertSame(implode('', $answers), (string) stream_get_contents($far));
        unset($near);
    }

    public function testBytesThatAreNoFrameEndTheWorkerBehindItsAnswers(): void
    {
        foreach ([str_repeat('?', 12), (new Frame('x', Frame::JSON, [0]))->encode()] as $broken) {
            [$worker, $near, $far] = self::pair();
            fwrite($far, Supervisor::rpc(1, 'a')->encode() . $broken);
            try {
                $worker->run(static fn (): string => 'answer');
                self::fail('it was accepted');
            } catch (FrameException) {
                self::assertSame((new Frame('answer', options: [0, 1]))->encode(), stream_socket_recvfrom($far, 65536));
            }
            unset($near);
        }
    }

    public function testAFailureFailsOnlyItsOwnRequest(): void
    {
        $worker = $this->worker('
            $app->onRpc("throw", fn () => intdiv(1, 0))
                ->onRpc("late", function () { Async::delay(0.001); throw new DomainException("late"); })
                ->onRpc("text", fn () => "text")
                ->onRpc("utf8", fn () => new RpcResult("\xff"))
                ->onRpc("error", fn () => throw new Causeway\Error(7, "seven"))
                ->onRpc("stop", fn () => throw new Causeway\Stop())
                ->onRpc("destructor", function () { $dead = new class { function __destruct() { throw new DomainException("dead"); } }; return null; })
                ->onRpc("good", fn () => null);');
        foreach (['throw', 'late', 'text', 'utf8', 'error', 'stop', 'destructor', 'good', 'nothing'] as $id => $method) {
            $worker->request($id, $method);
        }
        $answers = $worker->answers(9);
        ksort($answers);
        $place = fn (int $line): string => "!{$this->scripts[0]}:$line: ";
        self::assertSame([
            '!DivisionByZeroError: Division by zero', '!DomainException: late',
            $place(4) . 'the handler of rpc returned string, expected RpcResult, Error, Disconnect or null',
            $place(5) . 'cannot encode the answer to rpc: data: Malformed UTF-8 characters, possibly incorrectly encoded',
            '{"error":{"code":7,"message":"seven"}}', '{"stop":true}', '!DomainException: dead', self::OK,
            '{"error":{"code":108,"message":"not available"}}',
        ], $answers);
        $worker->request(10, 'good');
        self::assertSame([10 => self::OK], $worker->answers(1));
        [$status, $log] = $this->end($worker);
        self::assertSame(0, $status);
        foreach (['DivisionByZeroError', 'late', 'returned string', 'Malformed', 'dead', 'no handler for rpc method "nothing"'] as $line) {
            self::assertStringContainsString($line, $log);
        }
    }

    public function testACancelledHandlerThrowsWhereItWaitsAndCanCleanUp(): void
    {
        $worker = $this->worker('
            $app->onRpc("wait", function () { try { Async::delay(60); } finally { Async::isRunning() && fwrite(STDERR, "cleaned up\n"); } })
                ->onRpc("look", function ($request) {
                    $seen = [$request->cancellation->isRequested()];
                    $request->cancellation->subscribe(function ($reason) use (&$seen) { $seen[] = $reason->reason; });
                    try { Async::delay(60); } catch (Causeway\Cancelled $cancelled) { $seen[] = $cancelled->getMessage(); }
                    $seen[] = $request->cancellation->isRequested();
                    $seen[] = Async::cancellation() === $request->cancellation;
                    return new RpcResult($seen);
                })
                ->onRpc("other", function () { Async::delay(0.001); return null; });');
        $worker->request(1, 'wait');
        $worker->request(2, 'look');
        // Both have begun when the answer to this is there.
        $worker->send(new Frame('', stream: Frame::PING));
        self::assertSame(Frame::PONG, $worker->receive()->stream);
        $worker->command(cancel: 1, reason: 'deadline');
        self::assertSame([1 => '!cancelled: deadline'], $worker->answers(1));
        $worker->command(cancel: 1, reason: 'deadline');
        $worker->command(cancel: 2, reason: 'gone');
        $worker->command(cancel: 99, reason: 'gone');
        self::assertSame([2 => '{"result":{"data":[false,"gone","cancelled: gone",true,true]}}'], $worker->answers(1));
        $worker->request(3, 'other');
        self::assertSame([3 => self::OK], $worker->answers(1));
        self::assertSame([0, "cleaned up\n"], $this->end($worker));
    }

    public function testACancellationThatArrivesWithTheEndOfTheWaitHasNoEffectOnIt(): void
    {
        $worker = $this->worker('
            $app->onRpc("wait", function ($request) {
                $waiter = new Causeway\Async\Waiter(new Both($loop = new Causeway\Tests\SelectLoop()));
                $fiber = new Fiber(fn () => $waiter->wait($request->cancellation));
                $fiber->start();
                $waiter->resume("first");
                $request->cancellation->request("gone");
                $waiter->resume("late");
                return new RpcResult([Both::$calls, $fiber->isTerminated(), $fiber->getReturn()]);
            });', classes: '
            class Both implements Causeway\Async\Loop {
                public static $calls = 0;
                function __construct(private $loop) {}
                function queue(Closure $callback): void { self::$calls++; $callback(); }
                function onReadable($stream, Closure $callback): string { return ""; }
                function onWritable($stream, Closure $callback): string { return ""; }
                function delay(float $seconds, Closure $callback): string { return ""; }
                function defer(Closure $callback): void {}
                function cancel(string $id): void {}
                function forget(): void {}
                function run(): void {}
                function stop(): void {}
            }');
        $worker->request(1, 'wait');
        self::assertSame([1 => '{"result":{"data":[1,true,"first"]}}'], $worker->answers(1));
    }

    public function testARequestThatIsCancelledBeforeItsTurnIsNotHandled(): void
    {
        $worker = $this->worker('$app->onRpc("*", function () { fwrite(STDERR, "handled"); return null; });');
        $cancel = new Frame('{"cancel":1,"reason":"gone"}', Frame::CONTROL | Frame::JSON);
        $worker->send(Supervisor::rpc(1, 'x'), $cancel, Supervisor::rpc(2, 'x'));
        self::assertSame(['!cancelled: gone', self::OK], array_values($worker->answers(2)));
        self::assertSame([0, 'handled'], $this->end($worker));
    }

    public function testAHandlerThatNeverEndsHoldsItsPlaceAndNothingElse(): void
    {
        $worker = $this->worker('
            $app->onRpc("hang", fn () => Fiber::suspend())->onRpc("*", fn () => null);
        ', 3);
        foreach (range(1, 2) as $id) {
            $worker->request($id, 'hang');
        }
        foreach (range(3, 10) as $id) {
            $worker->request($id, 'x');
            self::assertSame([$id => self::OK], $worker->answers(1));
        }
        $worker->command(cancel: 1, reason: 'exec_ttl');
        $worker->send(new Frame('', stream: Frame::PING));
        self::assertSame(Frame::PONG, $worker->receive()->stream);
    }

    public function testAStoppedWorkerEndsWhatItHasInHand(): void
    {
        $worker = $this->worker('$app->onRpc("*", function () { Async::delay(0.05); return null; });');
        $worker->request(1, 'x');
        $worker->request(2, 'x');
        $worker->command(drain: true);
        $worker->command(stop: true);
        self::assertSame([1 => self::OK, 2 => self::OK], $worker->answers(2));
        self::assertSame([0, ''], $worker->wait());
    }

    public function testAWorkerWhoseRelayIsClosedCancelsItsHandlersAndExits(): void
    {
        $worker = $this->worker('
            $app->onRpc("*", function ($request) { try { Async::delay(60); } catch (Causeway\Cancelled $cancelled) { fwrite(STDERR, $cancelled->reason); } });');
        $worker->send(Supervisor::rpc(1, 'x'), Supervisor::rpc(2, 'x'), new Frame('', stream: Frame::PING));
        $worker->receive();
        self::assertSame([0, 'gonegone'], $worker->wait());
    }

    public function testOutputOfHandlersNeverBreaksAFrame(): void
    {
        $worker = $this->worker('
            $app->onRpc("print", function () { echo "a"; ob_start(); echo "b"; return null; })
                ->onRpc("wait", function () { ob_start(); echo "c"; Async::delay(0.001); echo "d"; ob_end_flush(); return null; })
                ->onRpc("level", fn () => new RpcResult(ob_get_level()));');
        $worker->request(1, 'level');
        $level = $worker->answers(1)[1];
        $worker->request(2, 'print');
        $worker->answers(1);
        $worker->request(3, 'wait');
        $worker->request(4, 'level');
        $worker->answers(2);
        $worker->request(5, 'level');
        self::assertSame([5 => $level], $worker->answers(1));
        self::assertSame([0, 'abcd'], $this->end($worker));
    }

    public function testAnswersThatTheServerReadsSlowlyBlockNobody(): void
    {
        $worker = $this->worker('
            $app->onRpc("big", fn () => new RpcResult(str_repeat("x", 3_000_000)))
                ->onRpc("note", function () { fwrite(STDERR, "handled\n"); return null; });', pipes: $pipes);
        $worker->request(1, 'big');
        $worker->request(2, 'note');
        // The worker handles the second request although nobody reads the answer to the first one.
        self::assertSame("handled\n", fgets($pipes[2]));
        $worker->request(3, 'big');
        $answers = $worker->answers(3);
        self::assertSame([1, 2, 3], array_keys($answers));
        self::assertSame($answers[1], $answers[3]);
        self::assertSame(3_000_000 + strlen('{"result":{"data":""}}'), strlen($answers[1]));
    }

    public function testAHandlerThatExitsTakesNoAnswerWithIt(): void
    {
        $worker = $this->worker('$app->onRpc("exit", fn () => exit(3))->onRpc("*", fn () => new RpcResult(str_repeat("x", 500_000)));');
        $worker->send(Supervisor::rpc(1, 'x'), Supervisor::rpc(2, 'exit'), Supervisor::rpc(3, 'x'));
        self::assertSame([1], array_keys($worker->answers(1)));
        self::assertSame(3, $worker->wait()[0]);
    }

    /** @requires extension pcntl */
    public function testAForkedProcessTakesNoRequestsAndSendsNoAnswers(): void
    {
        $worker = $this->worker('
            $app->onRpc("fork", function () { $pid = pcntl_fork(); if ($pid === 0) { echo "child\n"; Async::delay(0); return new RpcResult("child"); } pcntl_waitpid($pid, $status); return new RpcResult(pcntl_wexitstatus($status)); })
                ->onRpc("*", fn () => null);');
        $worker->send(Supervisor::rpc(1, 'x'), Supervisor::rpc(2, 'fork'), Supervisor::rpc(3, 'x'));
        $answers = $worker->answers(3);
        ksort($answers);
        self::assertSame([1 => self::OK, 2 => '{"result":{"data":0}}', 3 => self::OK], $answers);
        self::assertSame([0, "child\n"], $this->end($worker));
    }

    public function testAGeneratorIsAStreamOfMessages(): void
    {
        $worker = $this->worker('
            $app->onSubscribeUnidirectional(function ($request) {
                yield new SubscribeResult(data: $request->stream);
                foreach ([1, 2] as $number) { Async::delay(0.001); yield new Publication([$request->channel => $number]); }
            });');
        $worker->send(Supervisor::event(7, 'subscribeunidirectional', '{"channel":"news"}'));
        self::assertEquals([
            new Frame('{"subscribe_response":{"result":{"data":"s-7"}}}', 0, [0, 7], Frame::STREAM),
            new Frame('{"publication":{"data":{"news":1}}}', 0, [0, 7], Frame::STREAM),
            new Frame('{"publication":{"data":{"news":2}}}', 0, [0, 7], Frame::STREAM),
            new Frame('', 0, [0, 7], Frame::STREAM | Frame::STOP),
        ], [$worker->receive(), $worker->receive(), $worker->receive(), $worker->receive()]);
        self::assertSame([0, ''], $this->end($worker));
    }

    public function testAStreamWaitsForTheServer(): void
    {
        $worker = $this->worker('
            $app->onSubscribeUnidirectional(function () { for ($i = 1; ; ++$i) { fwrite(STDERR, "$i\n"); yield new Publication($i); } })
                ->onRpc("*", fn () => null);', pipes: $pipes);
        $worker->send(Supervisor::event(1, 'subscribeunidirectional', '{}'));
        for ($message = 0; $message < 64; ++$message) {
            self::assertSame($message === 0 ? '{"subscribe_response":{"result":{}}}' : "{\"publication\":{\"data\":$message}}", $worker->receive()->payload);
        }
        $worker->request(2, 'x');
        self::assertSame([2 => self::OK], $worker->answers(1));
        $worker->command(window: 1, messages: 2);
        $worker->command(window: 99, messages: 2);
        self::assertSame(['{"publication":{"data":64}}', '{"publication":{"data":65}}'], [$worker->receive()->payload, $worker->receive()->payload]);
        $worker->command(cancel: 1, reason: 'gone');
        self::assertSame([1 => '!cancelled: gone'], $worker->answers(1));
        $log = $this->end($worker)[1];
        self::assertStringEndsWith("65\n66\n", $log);
    }

    public function testAStreamOfLargeMessagesUsesHalfOfItsWindow(): void
    {
        $worker = $this->worker('
            $app->onSubscribeUnidirectional(function () { for ($i = 1; ; ++$i) { fwrite(STDERR, "$i\n"); yield new Publication(str_repeat("x", 10_000)); } });');
        $worker->send(Supervisor::event(1, 'subscribeunidirectional', '{}'));
        for ($message = 0; $message < 32; ++$message) {
            self::assertSame(Frame::STREAM, $worker->receive()->stream);
        }
        $worker->send(new Frame('', stream: Frame::PING));
        self::assertSame(Frame::PONG, $worker->receive()->stream);
        $worker->command(window: 1, messages: 32);
        for ($message = 0; $message < 32; ++$message) {
            self::assertSame(Frame::STREAM, $worker->receive()->stream);
        }
        $worker->command(cancel: 1, reason: 'gone');
        self::assertSame([1 => '!cancelled: gone'], $worker->answers(1));
        self::assertStringEndsWith("63\n64\n", $this->end($worker)[1]);
    }

    public function testAStreamEndsWithAnErrorWhenItsWorkerIsStopped(): void
    {
        $worker = $this->worker('
            $app->onSubscribeUnidirectional(function () { try { for (;;) { yield new Publication(1); Async::delay(60); } } finally { fwrite(STDERR, "closed"); } });');
        $worker->send(Supervisor::event(1, 'subscribeunidirectional', '{}'));
        self::assertSame(Frame::STREAM, $worker->receive()->stream);
        $worker->receive();
        $worker->command(stop: true);
        self::assertSame([1 => '!cancelled: stop'], $worker->answers(1));
        self::assertSame([0, 'closed'], $worker->wait());
    }

    public function testAGeneratorThatFailsEndsItsStreamWithAnError(): void
    {
        $worker = $this->worker('
            $app->onSubscribeUnidirectional(function ($request) {
                $request->channel === "no" ? throw new Causeway\Error(403, "no") : yield new SubscribeResult();
                yield match ($request->channel) { "throw" => throw new DomainException("x"), "type" => 7, "utf8" => new Publication("\xff"), "late" => throw new Causeway\Error(1, "y"), "stop" => throw new Causeway\Stop() };
            });');
        $failures = [
            'throw' => 'DomainException: x',
            'type' => "{$this->scripts[0]}:2: the handler of subscribeunidirectional yielded int, expected Publication",
            'utf8' => "{$this->scripts[0]}:2: cannot encode a message of subscribeunidirectional: data: Malformed UTF-8 characters, possibly incorrectly encoded",
            'late' => "{$this->scripts[0]}:2: the stream ended with Error 1 y",
            'stop' => "{$this->scripts[0]}:2: a stream that has begun cannot go to another worker",
        ];
        foreach ($failures as $channel => $failure) {
            $worker->send(Supervisor::event(1, 'subscribeunidirectional', "{\"channel\":\"$channel\"}"));
            self::assertSame(Frame::STREAM, $worker->receive()->stream);
            self::assertEquals(new Frame($failure, Frame::ERROR, [0, 1]), $worker->receive());
        }
        $worker->send(Supervisor::event(2, 'subscribeunidirectional', '{"channel":"no"}'));
        self::assertEquals(new Frame('{"error":{"code":403,"message":"no"}}', 0, [0, 2]), $worker->receive());
    }

    public function testTheMessagesOfAClientAreAnIteratorThatEndsWhenItLeaves(): void
    {
        $worker = $this->worker('
            $app->onSubscribeBidirectional(function ($request) {
                yield new SubscribeResult();
                foreach ($request->messages() as $message) { yield new Publication([$message->data, $message->json()]); }
                fwrite(STDERR, "left");
            });');
        $message = static fn (string $data, int $bits = Frame::STREAM): Frame => new Frame("{}$data", 0, [2, 1], $bits);
        $worker->send(Supervisor::event(1, 'subscribebidirectional', '{}'), $message('1'), $message('"two"'));
        $worker->receive();
        self::assertSame('{"publication":{"data":["1",1]}}', $worker->receive()->payload);
        self::assertSame('{"publication":{"data":["\"two\"","two"]}}', $worker->receive()->payload);
        for ($number = 3; $number <= 32; ++$number) {
            $worker->send($message('null'));
            $grant = $number === 32 ? $worker->receive()->payload : null;
            self::assertSame('{"publication":{"data":["null",null]}}', $worker->receive()->payload);
        }
        self::assertSame('{"window":1,"messages":32}', $grant);
        $worker->command(cancel: 1, reason: 'gone');
        self::assertEquals(new Frame('', 0, [0, 1], Frame::STREAM | Frame::STOP), $worker->receive());
        $worker->send($message('late'), $message('', Frame::STREAM | Frame::STOP));
        self::assertSame([0, 'left'], $this->end($worker));
    }

    public function testOnlyBidirectionalStreamsHaveMessages(): void
    {
        $worker = $this->worker('
            $app->onSubscribeUnidirectional(fn ($request) => iterator_to_array($request->messages()));');
        $worker->send(Supervisor::event(1, 'subscribeunidirectional', '{}'));
        self::assertSame([1 => '!LogicException: only bidirectional streams have messages, and only with concurrency'], $worker->answers(1));
    }

    public function testTheEventsOfStreamsThatTheServerOwns(): void
    {
        $worker = $this->worker('
            $app->onSubscribeBidirectional(fn ($request) => new SubscribeResult(data: [$request->stream, $request->channel]))
                ->onStreamPublish(fn ($request) => new Causeway\Error(1, "$request->stream $request->channel $request->data"))
                ->onStreamEnd(function ($request) { fwrite(STDERR, "$request->stream $request->channel $request->client"); });');
        $worker->send(
            Supervisor::event(1, 'subscribebidirectional', '{"channel":"c"}'),
            Supervisor::event(2, 'streampublish', '{"channel":"c","data":[1]}'),
            Supervisor::event(3, 'streamend', '{"channel":"c","client":"x"}'),
        );
        self::assertSame([
            1 => '{"result":{"data":["s-1","c"]}}', 2 => '{"error":{"code":1,"message":"s-2 c [1]"}}', 3 => self::OK,
        ], $worker->answers(3));
        self::assertSame([0, 's-3 c x'], $this->end($worker));
    }

    /**
     * @requires extension pcntl
     * @requires extension posix
     */
    public function testACallOfRpcLetsOthersRunAndHasAConnectionToItself(): void
    {
        [$first, $second] = (array) stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        stream_set_timeout($first, RpcServer::PATIENCE);
        // The first call is answered when the second one has arrived.
        $server = new RpcServer([
            static function (Peer $peer) use ($first): void {
                $request = $peer->receive();
                fread($first, 1);
                $peer->answer($request, '"one"');
            },
            static function (Peer $peer) use ($second): void {
                $peer->answer($peer->receive(), '"two"');
                fwrite($second, '.');
            },
        ]);
        $worker = $this->worker("\$rpc = new Causeway\\Rpc('$server->address');" . '
            $app->onRpc("*", fn () => new RpcResult($rpc->version()));');
        $worker->request(1, 'x');
        $worker->request(2, 'x');
        $answers = $worker->answers(2);
        ksort($answers);
        self::assertSame(['{"result":{"data":"one"}}', '{"result":{"data":"two"}}'], array_values($answers));
        self::assertSame([0, ''], $this->end($worker));
    }

    public function testARequestIsAnsweredOnceWhateverFailsAfterItsAnswer(): void
    {
        $worker = $this->worker('
            $app->onSubscribeUnidirectional(function ($request) {
                    try { yield new Publication(1); if ($request->channel === "end") { return; } yield new Publication(2); } finally { throw new DomainException("late"); }
                })
                ->onRpc("*", function ($request) {
                    $dead = new class { function __destruct() { throw new DomainException("dead"); } };
                    $request->cancellation->subscribe(fn () => $dead);
                    return null;
                });');
        foreach (['end', 'more'] as $channel) {
            $worker->send(Supervisor::event(1, 'subscribeunidirectional', "{\"channel\":\"$channel\"}"));
            while (($frame = $worker->receive())->stream !== 0) {
                continue;
            }
            self::assertEquals(new Frame('DomainException: late', Frame::ERROR, [0, 1]), $frame);
        }
        $worker->request(2, 'x');
        self::assertCount(1, $worker->answers(1));
        $worker->request(3, 'x');
        self::assertSame([3], array_keys($worker->answers(1)));
        self::assertSame(0, $this->end($worker)[0]);
    }

    public function testAStreamThatBeginsWhileTheWorkerIsStoppedDoesNotGoOn(): void
    {
        $worker = $this->worker('
            $app->onSubscribeUnidirectional(function () { Async::delay(0.05); for (;;) { yield new Publication(1); } });');
        $worker->send(Supervisor::event(1, 'subscribeunidirectional', '{}'), new Frame('', stream: Frame::PING));
        $worker->receive();
        $worker->command(stop: true);
        self::assertSame([1 => '!cancelled: stop'], $worker->answers(1));
        self::assertSame([0, ''], $worker->wait());
    }

    public function testACancellationThatALibraryWrapsIsNotLogged(): void
    {
        $worker = $this->worker('
            $app->onRpc("*", function () { try { Async::delay(60); } catch (Throwable $cancelled) { throw new RuntimeException("wrapped", 0, $cancelled); } });');
        $worker->send(Supervisor::rpc(1, 'x'), new Frame('', stream: Frame::PING));
        $worker->receive();
        $worker->command(cancel: 1, reason: 'deadline');
        self::assertSame([1 => '!cancelled: deadline'], $worker->answers(1));
        self::assertSame([0, ''], $this->end($worker));
    }

    public function testAWorkerSaysHowManyRequestsItWants(): void
    {
        $worker = $this->worker('$app->onRpc("*", function ($request) { Async::limit($request->json()); });');
        foreach ([0 => 0, 7 => 7, 1000 => 64, -1 => 0] as $wanted => $credit) {
            $worker->request(1, 'x', (string) $wanted);
            $command = $worker->receive();
            self::assertSame(Frame::CONTROL | Frame::JSON, $command->flags);
            self::assertSame("{\"credit\":$credit}", $command->payload);
            $worker->answers(1);
        }
    }

    public function testWithoutAnEventLoopOneRequestIsHandledAtATime(): void
    {
        if (class_exists(\Revolt\EventLoop::class)) {
            self::markTestSkipped('revolt/event-loop is installed');
        }
        foreach ([
            'revolt/event-loop is not installed' => self::OFFER,
            'the server does not offer protocol 2' => ['CAUSEWAY_PROTOCOLS' => ''],
        ] as $reason => $environment) {
            $worker = new Supervisor($this->script('$app->onRpc("*", function () { Causeway\Async::delay(0.001); });', '$app->run(concurrency: 8)'), 'pipes', [], $environment);
            self::assertStringNotContainsString('protocol', $worker->pid);
            $worker->ask('rpc', $reason[0] === 'r' ? '{}' : '', $reason[0] === 'r' ? Frame::JSON : Frame::PROTO);
            self::assertSame([0, "this worker handles one request at a time: $reason\n"], $worker->wait());
        }
    }

    private static function loop(): Loop
    {
        return RevoltLoop::isInstalled() ? new RevoltLoop() : new SelectLoop();
    }

    /** @return array{Worker, resource, resource} a worker, and both ends of its relay */
    private static function pair(): array
    {
        [$near, $far] = (array) stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        stream_set_blocking($far, false);

        return [new Worker(new Relay($near, $near), self::loop(), 64), $near, $far];
    }

    /** A worker with the handlers that `$lines` register. */
    private function worker(string $lines, int $concurrency = 64, string $classes = '', ?array &$pipes = null): Supervisor
    {
        $loop = self::loop()::class;
        $run = "\$app->run(new Causeway\\Async\\Worker(Causeway\\Relay::open(), new $loop(), $concurrency))";
        $worker = new Supervisor($this->script("$lines $classes", $run), 'pipes', [], self::OFFER);
        $pipes = $worker->pipes;

        return $worker;
    }

    private function script(string $lines, string $run): string
    {
        $this->scripts[] = $script = (string) tempnam(sys_get_temp_dir(), 'causeway');
        $autoload = var_export(realpath(__DIR__ . '/../autoload.php'), true);
        $use = 'use Causeway\Async; use Causeway\Publication; use Causeway\Result\RpcResult; use Causeway\Result\SubscribeResult;';
        file_put_contents($script, "<?php $use require $autoload; \$app = new Causeway\\App(codec: getenv('CAUSEWAY_CODECS') ? 'json' : null); $lines $run;");

        return $script;
    }

    /** @return array{int, string} the exit status and standard error of a worker that is stopped */
    private function end(Supervisor $worker): array
    {
        $worker->command(stop: true);

        return $worker->wait();
    }
}
