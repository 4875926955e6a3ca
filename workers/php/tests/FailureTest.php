<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Frame;
use PHPUnit\Framework\TestCase;

/** What the log of a real worker says about handlers that fail, and what the server gets. */
final class FailureTest extends TestCase
{
    private string $script = '';

    protected function tearDown(): void
    {
        if ($this->script !== '') {
            unlink($this->script);
        }
    }

    public function testAnExceptionIsOneLineWithItsPlaceAndThenItsTrace(): void
    {
        $worker = $this->script('
            function find(int $id): never
            {
                throw new DomainException("no user\n$id");
            }
            $app = (new App())->onRpc("users.*", fn () => find(7))->onPublish(fn () => find(8))->onConnect(fn () => array_map("find", [9]));
        ');
        self::assertSame("DomainException: no user\n7", $worker->ask('rpc', '{"method":"users.get"}', Frame::JSON)->payload);
        $worker->ask('publish', '{"channel":"a/\u00fc"}', Frame::JSON);
        $worker->ask('connect', '{}', Frame::JSON);
        [$status, $log] = $worker->wait();
        self::assertSame(0, $status);
        foreach (['rpc method "users.get"' => 7, 'publish channel "a/\u00fc"' => 8, 'connect' => 9] as $what => $id) {
            self::assertStringContainsString("$what failed: DomainException: no user $id ($this->script:5 in find)\nDomainException: no user\n$id in", $log);
        }
        self::assertStringContainsString("#0 $this->script(7): find(", $log);
    }

    public function testAStreamThatFailsOrYieldsASecondResultNamesItsPlace(): void
    {
        $worker = $this->script('
            $app = (new App())
                ->onSubscribeUnidirectional(function ($request) {
                    yield new SubscribeResult();
                    yield $request->channel === "twice" ? new SubscribeResult() : throw new DomainException("late");
                })
                ->onSubscribe(function () { yield new SubscribeResult(); yield new SubscribeResult(); })
                ->interceptors(["rpc" => fn ($request, $next) => [$next($request), $next($request)]])->onRpc("*", fn () => null);
        ');
        foreach (['twice' => "$this->script:4: the handler of subscribeunidirectional yielded Causeway\Result\SubscribeResult, expected Publication", 'late' => 'DomainException: late'] as $channel => $failure) {
            $context = '{"type":["subscribeunidirectional"]}';
            $worker->send(new Frame("$context{\"channel\":\"$channel\"}", Frame::JSON, [strlen($context)]));
            self::assertSame('{"subscribe_response":{"result":{}}}', $worker->receive()->payload);
            self::assertSame([Frame::ERROR, $failure], (fn (Frame $frame): array => [$frame->flags, $frame->payload])($worker->receive()));
        }
        $wrong = "$this->script:8: the handler of subscribe returned Generator, expected SubscribeResult, Error, Disconnect or null";
        self::assertSame($wrong, $worker->ask('subscribe', '{}', Frame::JSON)->payload);
        self::assertSame("$this->script:9: next was called twice", $worker->ask('rpc', '{}', Frame::JSON)->payload);
        $log = $worker->wait()[1];
        self::assertStringContainsString("subscribeunidirectional channel \"late\" failed: DomainException: late ($this->script:6 in ", $log);
        self::assertStringContainsString("$wrong\n$this->script:9: next was called twice\n", $log);
    }

    public function testCausewayGetsEachFailureAsOneLineWithItsLevelAndFields(): void
    {
        $worker = $this->script('
            function find(string $id): never { throw new DomainException("no user\n$id"); }
            $app = (new App())->onRpc("find", fn () => find("\xff"))->onRpc("long", fn () => find(str_repeat("x", 1_000_000) . "end"))
                ->onRpc("wrong", fn () => "text");
        ', ['CAUSEWAY_POOL' => 'centrifuge']);
        $context = '{"type":["rpc"],"traceparent":["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]}';
        foreach (['find', 'long', 'wrong', 'missing'] as $method) {
            $worker->send(new Frame("$context{\"method\":\"$method\"}", Frame::JSON, [strlen($context)]));
            $worker->receive();
        }
        $lines = explode("\n", trim(self::plain($worker->wait()[1])));
        self::assertLessThan(65536, max(array_map(strlen(...), $lines)));
        [$failed, $long, $wrong, $missing] = array_map(static fn (string $line): array => json_decode($line, true, flags: JSON_THROW_ON_ERROR), $lines);
        $traced = ['type' => 'rpc', 'trace_id' => '4bf92f3577b34da6a3ce929d0e0e4736'];
        $trace = $failed['traceback'];
        unset($failed['traceback']);
        self::assertSame([
            'level' => 'error',
            'msg' => "rpc method \"find\" failed: DomainException: no user \u{fffd} ($this->script:3 in find)",
            ...$traced,
            'exception' => 'DomainException',
            'place' => "$this->script:3",
        ], $failed);
        self::assertStringStartsWith("DomainException: no user\n\u{fffd} in $this->script:3\nStack trace:\n#0 $this->script(4): find(", $trace);
        self::assertStringContainsString('xxx ... xxx', $long['msg']);
        $text = "$this->script:5: the handler of rpc returned string, expected RpcResult, Error, Disconnect or null";
        self::assertSame(['level' => 'error', 'msg' => $text, ...$traced], $wrong);
        self::assertSame(['level' => 'warn', 'msg' => 'no handler for rpc method "missing" (logged once)', 'type' => 'rpc'], $missing);
    }

    public function testForCausewayADebugPageFollowsTheLine(): void
    {
        $worker = $this->script('$app = (new App(debug: true))->onRpc("*", fn () => intdiv(1, 0));', ['CAUSEWAY_POOL' => 'centrifuge']);
        $worker->ask('rpc', '{"method":"x","user":"42"}', Frame::JSON);
        $lines = explode("\n", $worker->wait()[1]);
        $record = json_decode($lines[0], true, flags: JSON_THROW_ON_ERROR);
        self::assertSame('error', $record['level']);
        self::assertArrayNotHasKey('traceback', $record);
        self::assertSame(['request: rpc method "x"', 'user: 42'], array_slice($lines, 1, 2));
    }

    public function testAnErrorThatEndsTheProcessIsLoggedWithItsPlace(): void
    {
        $worker = $this->script('
            $app = (new App())->onRpc("*", function () {
                ini_set("memory_limit", "8M");
                str_repeat("x", 100 << 20);
            });
        ', ['CAUSEWAY_POOL' => 'centrifuge']);
        $worker->send(Supervisor::event(1, 'rpc', '{}'));
        [$status, $log] = $worker->wait();
        self::assertSame(255, $status);
        self::assertSame(1, preg_match('~^\{.*~m', $log, $lines));
        $record = json_decode($lines[0], true, flags: JSON_THROW_ON_ERROR);
        self::assertSame(['error', "$this->script:5"], [$record['level'], $record['place']]);
        self::assertStringStartsWith('the worker ends: Allowed memory size of 8388608 bytes exhausted', $record['msg']);
    }

    public function testALogThatCannotBeWrittenCostsNothing(): void
    {
        $worker = $this->script('
            fclose(STDERR);
            final class Odd extends Exception { public function __toString(): string { throw new LogicException("odd"); } }
            $app = (new App())->onRpc("*", fn () => throw new Odd("text"));
        ');
        foreach ([1, 2] as $_) {
            self::assertSame('Odd: text', $worker->ask('rpc', '{}', Frame::JSON)->payload);
        }
        self::assertSame(0, $worker->wait()[0]);
    }

    public function testAnExceptionWhoseTextCannotBeMadeIsLogged(): void
    {
        $worker = $this->script('
            final class Odd extends Exception { public function __toString(): string { throw new LogicException("odd"); } }
            $app = (new App())->onRpc("*", fn () => throw new Odd("text"));
        ');
        self::assertSame('Odd: text', $worker->ask('rpc', '{}', Frame::JSON)->payload);
        $log = $worker->wait()[1];
        self::assertStringContainsString('cannot log an exception: LogicException: odd', $log);
        self::assertStringContainsString("\nOdd: text in $this->script:4\n#0 ", $log);
    }

    public function testTheLoggerOfTheApplicationGetsFailures(): void
    {
        $worker = $this->script('
            require_once __TESTS__ . "/RecordingLogger.php";
            $logger = new Causeway\Tests\RecordingLogger();
            $app = (new App(logger: $logger))->onRpc("fail", fn () => intdiv(1, 0))->onRpc("log", fn () => new RpcResult(array_map(
                fn ($entry) => [$entry[0], $entry[1], array_map(fn ($value) => is_object($value) ? $value::class : $value, $entry[2])],
                $logger->entries,
            )));
        ');
        $worker->ask('rpc', '{"method":"fail","user":"42"}', Frame::JSON);
        $worker->ask('connect', '{}', Frame::JSON);
        $entries = json_decode(self::plain($worker->ask('rpc', '{"method":"log"}', Frame::JSON)->payload), true)['result']['data'];
        $line = "rpc method \"fail\" failed: DivisionByZeroError: Division by zero ($this->script:5 in {closure})";
        self::assertSame([
            ['error', $line, ['exception' => 'DivisionByZeroError', 'event' => 'rpc', 'user' => '42']],
            ['warning', 'no handler for connect (logged once)', ['event' => 'connect']],
        ], $entries);
        self::assertSame([0, ''], $worker->wait());
    }

    public function testALoggerThatFailsCostsNothing(): void
    {
        $worker = $this->script('
            require_once __TESTS__ . "/stubs/psr.php";
            $logger = new class implements Psr\Log\LoggerInterface {
                use Psr\Log\LoggerTrait;
                public function log($level, string|Stringable $message, array $context = []): void { throw new LogicException("full"); }
            };
            $app = (new App(logger: $logger))->onRpc("*", fn () => intdiv(1, 0));
        ');
        self::assertSame('DivisionByZeroError: Division by zero', $worker->ask('rpc', '{}', Frame::JSON)->payload);
        $log = $worker->wait()[1];
        self::assertStringContainsString('cannot log an exception: LogicException: full', $log);
        self::assertStringContainsString('DivisionByZeroError: Division by zero in ', $log);
    }

    /** @return iterable<array{string, array<string, string>}> */
    public static function debugging(): iterable
    {
        yield ['debug: true', []];
        yield ['', ['CAUSEWAY_DEBUG' => '1']];
    }

    /**
     * @dataProvider debugging
     * @param array<string, string> $environment
     */
    public function testTheDebugPageIsInTheLogOnly(string $arguments, array $environment): void
    {
        $worker = $this->script("
            function divide(int \$by): int
            {
                return intdiv(1, \$by);
            }
            \$app = (new App($arguments))->onRpc('*', function (\$request) {
                try {
                    return divide(\$request->json()['by']);
                } catch (DivisionByZeroError \$error) {
                    throw new RuntimeException('cannot divide', previous: \$error);
                }
            });
        ", $environment, ['-d', 'zend.exception_ignore_args=0']);
        self::assertSame('RuntimeException: cannot divide', $worker->ask('rpc', '{"method":"x","user":"42","client":"c","data":{"by":0}}', Frame::JSON)->payload);
        $log = self::plain($worker->wait()[1]);
        $code = [
            5 => '                return intdiv(1, $by);',
            6 => '            }',
            7 => "            \$app = (new App($arguments))->onRpc('*', function (\$request) {",
            8 => '                try {',
            9 => "                    return divide(\$request->json()['by']);",
            10 => '                } catch (DivisionByZeroError $error) {',
            11 => "                    throw new RuntimeException('cannot divide', previous: \$error);",
            12 => '                }',
            13 => '            });',
            14 => '        ',
        ];
        $around = static fn (int $line, int $first = 0): array => array_map(
            static fn (int $number): string => sprintf('  %s%5d | %s', $number === $line ? '>' : ' ', $number, $code[$number]),
            range(max($first, $line - 3), $line + 3),
        );
        $page = implode("\n", [
            "rpc method \"x\" failed: RuntimeException: cannot divide ($this->script:11 in {closure})",
            'request: rpc method "x"',
            'user: 42',
            'client: c',
            'data: {"by":0}',
            'RuntimeException: cannot divide',
            "  $this->script:11 in {closure}(Causeway\Event\RpcRequest)",
            ...$around(11),
            'caused by DivisionByZeroError: Division by zero',
            "  $this->script:5 in intdiv(1, 0)",
        ]);
        self::assertStringStartsWith("$page\n", $log);
        $rest = implode("\n", ["  $this->script:5 in divide(0)", "  $this->script:9 in {closure}(Causeway\Event\RpcRequest)", ...$around(9)]);
        self::assertStringEndsWith("  >    5 | $code[5]\n" . implode("\n", array_slice($around(5, 5), 1)) . "\n$rest\n", $log);
        self::assertStringNotContainsString('workers/php/src', $log);
    }

    /** Since PHP 8.4, a closure is named after its place. */
    private static function plain(string $text): string
    {
        return (string) preg_replace('~\{closure:[^}]*\}~', '{closure}', $text);
    }

    /**
     * An application in $app.
     *
     * @param array<string, string> $environment
     * @param list<string> $arguments of PHP
     */
    private function script(string $code, array $environment = [], array $arguments = []): Supervisor
    {
        $this->script = (string) tempnam(sys_get_temp_dir(), 'causeway');
        $autoload = var_export(realpath(__DIR__ . '/../autoload.php'), true);
        $code = str_replace('__TESTS__', var_export(__DIR__, true), $code);
        $uses = 'use Causeway\{App, Error, Publication}; use Causeway\Result\{RpcResult, SubscribeResult};';
        file_put_contents($this->script, "<?php require $autoload; $uses\n$code\n\$app->run();\n");

        return new Supervisor($this->script, 'pipes', $arguments, $environment + ['CAUSEWAY_CODECS' => 'proto,json']);
    }
}
