<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\App;
use Causeway\Disconnect;
use Causeway\Error;
use Causeway\Event;
use Causeway\Event\RpcRequest;
use Causeway\Interceptor;
use Causeway\Publication;
use Causeway\Request;
use Causeway\Result\ConnectResult;
use Causeway\Result\RpcResult;
use Causeway\Result\SubscribeResult;
use Causeway\Stop;
use Causeway\Testing\TestClient;
use Causeway\WorkerException;
use PHPUnit\Framework\TestCase;

final class Upper implements Interceptor
{
    public function intercept(Request $request, callable $next): mixed
    {
        $answer = $next($request);

        return $answer instanceof RpcResult && is_string($answer->data) ? new RpcResult(strtoupper($answer->data)) : $answer;
    }
}

final class InterceptorsTest extends TestCase
{
    public function testThoseOfAllEventsStandAroundThoseOfOneType(): void
    {
        $seen = [];
        $note = static function (string $name) use (&$seen): \Closure {
            return static function (Request $request, callable $next) use (&$seen, $name): mixed {
                $seen[] = $name;
                $answer = $next($request);
                $seen[] = "/$name";

                return $answer;
            };
        };
        $app = (new App())
            ->interceptors(['rpc' => [$note('c'), $note('d')], '*' => [$note('a'), $note('b')], 'connect' => $note('e')])
            ->onRpc('*', function () use (&$seen): void {
                $seen[] = 'handler';
            })
            ->onConnect(fn () => null);
        $client = new TestClient($app);
        $client->rpc('x');
        self::assertSame(['a', 'b', 'c', 'd', 'handler', '/d', '/c', '/b', '/a'], $seen);
        $seen = [];
        $client->connect();
        self::assertSame(['a', 'b', 'e', '/e', '/b', '/a'], $seen);
    }

    public function testOneThatDoesNotCallNextAnswersItself(): void
    {
        $app = (new App())
            ->interceptors(['rpc' => fn (RpcRequest $request) => $request->user === '' ? throw new Error(401, 'log in') : new RpcResult('cached')])
            ->onRpc('*', fn () => self::fail('the handler was called'));
        self::assertSame('log in', (new TestClient($app))->rpc('x')->error?->getMessage());
        self::assertSame('cached', (new TestClient($app))->rpc('x', user: '42')->data);
    }

    public function testTheContextGoesFromInterceptorsToTheHandlerAndNoFurther(): void
    {
        $app = (new App())
            ->interceptors(['*' => function (Request $request, callable $next): mixed {
                self::assertCount(0, $request->context);
                $request->context['user'] = "user $request->user";

                return $next($request);
            }])
            ->onRpc('*', fn (RpcRequest $request) => new RpcResult($request->context['user'] . " calls {$request->event->value}"));
        $client = new TestClient($app);
        self::assertSame('user 42 calls rpc', $client->rpc('x', user: '42')->data);
        self::assertSame('user 43 calls rpc', $client->rpc('x', user: '43')->data);
    }

    public function testNextReturnsWhatTheHandlerReturnsOrThrows(): void
    {
        $seen = null;
        $app = (new App(logger: new RecordingLogger()))
            ->interceptors(['*' => function (Request $request, callable $next) use (&$seen): mixed {
                return $seen = $next($request);
            }])
            ->onConnect(fn () => null)
            ->onRpc('error', fn () => throw new Error(7, 'no'))
            ->onRpc('disconnect', fn () => new Disconnect(4000, 'bye'))
            ->onRpc('array', fn () => [1])
            ->onRpc('stop', fn () => throw new Stop());
        $client = new TestClient($app);
        self::assertTrue($client->connect()->ok);
        self::assertEquals(new ConnectResult(), $seen);
        self::assertSame(7, $client->rpc('error')->error?->getCode());
        self::assertSame(7, $seen instanceof Error ? $seen->getCode() : null);
        self::assertSame(4000, $client->rpc('disconnect')->disconnect?->getCode());
        self::assertSame(108, $client->rpc('missing')->error?->getCode());
        self::assertSame(108, $seen instanceof Error ? $seen->getCode() : null);
        self::assertTrue($client->notifyCacheEmpty('c')->ok);
        $this->expectException(Stop::class);
        $client->rpc('stop');
    }

    public function testTheyAreClassesOfTheContainerToo(): void
    {
        $container = new Container([Upper::class => fn () => new Upper()]);
        foreach ([new App(container: $container), new App()] as $app) {
            $app->interceptors(['rpc' => Upper::class])->onRpc('*', fn () => new RpcResult('text'));
            self::assertSame('TEXT', (new TestClient($app))->rpc('x')->data);
        }
        self::assertSame([Upper::class => 1], $container->calls);
    }

    public function testARequestLeavesNoGarbage(): void
    {
        // By default, PHP keeps the arguments of calls in exceptions.
        $ignored = (string) ini_set('zend.exception_ignore_args', '0');
        $app = (new App())
            ->interceptors(['*' => fn (Request $request, callable $next) => $next($request)])
            ->onRpc('refuse', fn (Request $request) => new Error(1, 'no'))
            ->onRpc('throw', fn (Request $request) => throw new Error(1, 'no'));
        $client = new TestClient($app);
        gc_collect_cycles();
        foreach (['refuse', 'throw', 'refuse', 'throw'] as $method) {
            $client->rpc($method);
        }
        $garbage = gc_collect_cycles();
        ini_set('zend.exception_ignore_args', $ignored);
        self::assertSame(0, $garbage);
    }

    public function testNextMayBeCalledOnce(): void
    {
        $app = (new App())
            ->interceptors(['rpc' => fn (Request $request, callable $next) => [$next($request), $next($request)][1]])
            ->onRpc('*', fn () => null);
        $this->expectException(WorkerException::class);
        $this->expectExceptionMessage(__FILE__ . ':' . (__LINE__ - 3) . ': next was called twice');
        (new TestClient($app))->rpc('x');
    }

    public function testAWrongAnswerIsBlamedOnTheOneThatHasMadeIt(): void
    {
        $pass = fn (Request $request, callable $next) => $next($request);
        $spoil = fn (Request $request, callable $next) => $request->header('spoil') === null ? $next($request) : ['spoiled'];
        $spoiler = __LINE__ - 1;
        $app = (new App())->interceptors(['*' => [$pass, $spoil, $pass]])->onRpc('*', fn () => 'wrong');
        $handler = __LINE__ - 1;
        $client = new TestClient($app, raiseExceptions: false);
        self::assertStringContainsString(":$handler: the handler of rpc returned string", (string) $client->rpc('x')->failure);
        self::assertStringContainsString(":$spoiler: the handler of rpc returned array", (string) $client->rpc('x', headers: ['spoil' => '1'])->failure);
    }

    public function testAnAnswerThatTheyTurnIntoAResultIsRight(): void
    {
        $wrap = static function (Request $request, callable $next): mixed {
            $answer = $next($request);

            return is_array($answer) ? new RpcResult($answer) : $answer;
        };
        $app = (new App())->interceptors(['rpc' => $wrap])->onRpc('*', fn () => [1, 2]);
        self::assertSame([1, 2], (new TestClient($app))->rpc('x')->data);
    }

    public function testTheyMayWrapTheGeneratorOfAStream(): void
    {
        $double = static function (Request $request, callable $next): mixed {
            return (static function (\Generator $messages): \Generator {
                foreach ($messages as $message) {
                    yield $message instanceof Publication ? new Publication($message->data * 2) : $message;
                }
            })($next($request));
        };
        $app = (new App())
            ->interceptors([Event::SubscribeUnidirectional->value => $double])
            ->onSubscribeUnidirectional(function (): \Generator {
                yield new SubscribeResult();
                yield new Publication(1);
                yield new Publication(2);
            });
        $stream = (new TestClient($app))->subscribeUnidirectional('c');
        self::assertTrue($stream->answer->ok);
        self::assertSame([2, 4], array_map(static fn (Publication $one): mixed => $one->data, iterator_to_array($stream)));
    }
}
