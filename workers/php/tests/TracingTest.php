<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\App;
use Causeway\Event\RpcRequest;
use Causeway\Payload;
use Causeway\Proto\Proxy\RPCRequest as Message;
use Causeway\Publication;
use Causeway\Result\SubscribeResult;
use Causeway\Tracing;
use OpenTelemetry\API\Globals;
use OpenTelemetry\Context\Context;
use PHPUnit\Framework\TestCase;

/** Handlers in the trace of their request, with a stand-in for the library. */
final class TracingTest extends TestCase
{
    public static function setUpBeforeClass(): void
    {
        require_once __DIR__ . '/OpenTelemetry.php';
        // Other tests have looked for the library before.
        (new \ReflectionProperty(Tracing::class, 'isInstalled'))->setValue(null, null);
    }

    public function testAHandlerIsInTheTraceOfItsRequestAndNothingIsAfterIt(): void
    {
        $seen = [];
        $app = (new App())->onRpc('*', static function (RpcRequest $request) use (&$seen) {
            $seen[] = Context::getCurrent()->trace;

            return $request->method === 'fails' ? throw new \DomainException() : null;
        });
        foreach (['first', 'fails', 'third'] as $number => $method) {
            try {
                $app->answer(self::rpc($number, $method));
            } catch (\DomainException) {
                self::assertSame('fails', $method);
            }
            self::assertSame([], Context::getCurrent()->trace);
        }
        $app->answer(new Payload('{"type":["rpc"]}', ''));
        self::assertSame([self::trace(0), self::trace(1), self::trace(2), []], $seen);
    }

    public function testAGeneratorIsInTheTraceOfItsStream(): void
    {
        $seen = [];
        $app = (new App())->onSubscribeUnidirectional(static function () use (&$seen) {
            $seen[] = Context::getCurrent()->trace;
            yield new SubscribeResult();
            $seen[] = Context::getCurrent()->trace;
            yield new Publication(1);
            $seen[] = Context::getCurrent()->trace;
        });
        $messages = $app->answer(new Payload(self::context(5, 'subscribeunidirectional'), ''));
        self::assertSame([], Context::getCurrent()->trace);
        self::assertIsIterable($messages);
        self::assertCount(2, iterator_to_array($messages, false));
        self::assertSame([self::trace(5), self::trace(5), self::trace(5)], $seen);
        self::assertSame([], Context::getCurrent()->trace);
    }

    public function testFibersHaveEachTheirOwnTraceAndNoneWithoutOne(): void
    {
        $seen = [];
        $app = (new App())->onRpc('*', static function (RpcRequest $request) use (&$seen) {
            $before = Context::getCurrent()->trace;
            \Fiber::suspend();
            $seen[$request->method] = [$before, Context::getCurrent()->trace];
        });
        $payloads = [self::rpc(1, 'first'), self::rpc(2, 'second'), new Payload('{"type":["rpc"]}', (new Message(['method' => 'third']))->serializeToString())];
        $fibers = array_map(static fn (): \Fiber => new \Fiber($app->answer(...)), $payloads);
        array_map(static fn (\Fiber $fiber, Payload $payload) => $fiber->start($payload), $fibers, $payloads);
        self::assertSame([], Context::getCurrent()->trace);
        array_map(static fn (\Fiber $fiber) => $fiber->resume(), $fibers);
        $expected = ['first' => self::trace(1), 'second' => self::trace(2), 'third' => []];
        self::assertSame(array_map(static fn (array $trace): array => [$trace, $trace], $expected), $seen);
    }

    public function testAWrongPropagatorFailsNoRequest(): void
    {
        $seen = [];
        $app = (new App())->onRpc('*', static function () use (&$seen) {
            $seen[] = Context::getCurrent()->trace;
        });
        Globals::$fails = true;
        try {
            $app->answer(self::rpc(0, 'any'));
        } finally {
            Globals::$fails = false;
        }
        $app->answer(self::rpc(1, 'any'));
        self::assertSame([[], self::trace(1)], $seen);
    }

    private static function rpc(int $number, string $method): Payload
    {
        return new Payload(self::context($number, 'rpc'), (new Message(['method' => $method]))->serializeToString());
    }

    private static function context(int $number, string $type): string
    {
        $headers = array_map(static fn (string $value): array => [$value], self::trace($number));

        return json_encode([':authority' => ['a']] + $headers + ['type' => [$type]], JSON_THROW_ON_ERROR);
    }

    /** @return array<string, string> the headers of a trace */
    private static function trace(int $number): array
    {
        return ['traceparent' => sprintf('00-%032x-00f067aa0ba902b7-01', $number + 1), 'tracestate' => "n=$number"];
    }
}
