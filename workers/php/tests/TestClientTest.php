<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\App;
use Causeway\Disconnect;
use Causeway\Error;
use Causeway\Event;
use Causeway\Event\ConnectRequest;
use Causeway\Event\RpcRequest;
use Causeway\Event\SharedPollRefreshRequest;
use Causeway\Event\StreamPublishRequest;
use Causeway\Event\SubscribeStreamRequest;
use Causeway\Publication;
use Causeway\Raw;
use Causeway\Request;
use Causeway\Result\ConnectResult;
use Causeway\Result\RpcResult;
use Causeway\Result\SubscribeResult;
use Causeway\Stop;
use Causeway\Testing\TestClient;
use PHPUnit\Framework\TestCase;

final class TestClientTest extends TestCase
{
    /** @dataProvider \Causeway\Tests\AppTest::events */
    public function testItSendsEveryEvent(Event $event): void
    {
        $seen = null;
        $app = (new App())->on($event, function (Request $request) use (&$seen): void {
            $seen = $request;
        });
        $client = new TestClient($app);
        $method = lcfirst($event->name);
        $arguments = array_map(static fn (\ReflectionParameter $parameter): mixed => match ($parameter->name) {
            'events', 'items' => [],
            default => "a $parameter->name",
        }, array_filter((new \ReflectionMethod($client, $method))->getParameters(), static fn (\ReflectionParameter $one): bool => !$one->isVariadic()));
        $answer = $client->$method(...$arguments);
        self::assertTrue($event->isStream() ? $answer->answer->ok : $answer->ok);
        self::assertInstanceOf($event->requestClass(), $seen);
        $field = $event->subject();
        self::assertSame($field === null ? null : "a $field", $field === null ? null : $seen->{$field});
        self::assertSame($event->hasStreamId(), isset($seen->stream));
    }

    public function testARequestHasTheFieldsThatATestGives(): void
    {
        $seen = [];
        $app = (new App())->onRpc('*', function (RpcRequest $request) use (&$seen): void {
            $seen[] = [$request->user, $request->client, $request->transport, $request->json(), $request->meta(), $request->labels(), $request->header('X-Token')];
        });
        $client = new TestClient($app);
        $client->rpc('x');
        $client->with(user: '7', meta: ['a' => 1])->rpc('x', [], client: 'c', transport: 'sse', labels: ['k' => 'v'], headers: ['X-Token' => 't']);
        self::assertSame([['', 'test-client', 'websocket', null, null, [], null], ['7', 'c', 'sse', [], ['a' => 1], ['k' => 'v'], 't']], $seen);
    }

    public function testAfterAConnectRequestsHaveItsUserAndMeta(): void
    {
        $seen = [];
        $app = (new App())
            ->onConnect(fn (ConnectRequest $request) => $request->name === 'no' ? new Error(1, 'no') : new ConnectResult(user: '42', meta: ['plan' => 'pro']))
            ->onRpc('*', function (RpcRequest $request) use (&$seen): void {
                $seen[] = [$request->user, $request->meta()];
            });
        $client = new TestClient($app);
        $other = $client->with(user: '7');
        $client->connect(name: 'no');
        $client->rpc('x');
        $client->connect();
        $client->rpc('x');
        $client->rpc('x', user: '43', meta: 1);
        $other->rpc('x');
        self::assertSame([['', null], ['42', ['plan' => 'pro']], ['43', 1], ['7', null]], $seen);
    }

    public function testHeadersOfACallAddToThoseOfTheClient(): void
    {
        $app = (new App())->onRpc('*', fn (RpcRequest $request) => new RpcResult([$request->header('a'), $request->header('b'), $request->header('type')]));
        $client = (new TestClient($app))->with(headers: ['A' => '1', 'B' => '2']);
        self::assertSame(['1', '3', 'rpc'], $client->rpc('x', headers: ['b' => '3'])->data);
    }

    public function testAStopIsThrownAlways(): void
    {
        $app = (new App())->onRpc('*', fn () => throw new Stop());
        $this->expectException(Stop::class);
        (new TestClient($app, raiseExceptions: false))->rpc('x');
    }

    public function testItSaysWhichFieldARequestDoesNotHave(): void
    {
        $this->expectExceptionMessage('a request of rpc has no field "usr"');
        (new TestClient((new App())->onRpc('*', fn () => null)))->rpc('x', usr: '42');
    }

    public function testDataThatAreNotJsonPassBothWays(): void
    {
        $app = (new App())->onRpc('*', fn (RpcRequest $request) => new RpcResult(new Raw(strrev($request->data))));
        self::assertSame("\xff\x00", (new TestClient($app))->rpc('x', new Raw("\x00\xff"))->data);
    }

    public function testAnAnswerIsAResultAnErrorADisconnectOrAFailure(): void
    {
        $app = (new App())
            ->onConnect(fn (ConnectRequest $request) => match ($request->name) {
                'error' => new Error(7, 'no', temporary: true),
                'disconnect' => throw new Disconnect(4001, 'bye'),
                'failure' => throw new \DomainException('broken'),
                default => new ConnectResult(user: '42', data: ['a' => 1], expireAt: 9, channels: ['news']),
            });
        $client = new TestClient($app, raiseExceptions: false);
        $result = $client->connect();
        self::assertSame(['user' => '42', 'data' => ['a' => 1], 'channels' => ['news'], 'expire_at' => 9], $result->result);
        self::assertSame([true, ['a' => 1], null, null, null], [$result->ok, $result->data, $result->error, $result->disconnect, $result->failure]);
        $error = $client->connect(name: 'error');
        self::assertSame([false, 7, 'no', true], [$error->ok, $error->error?->getCode(), $error->error?->getMessage(), $error->error?->temporary]);
        self::assertSame([4001, 'bye'], [$client->connect(name: 'disconnect')->disconnect?->getCode(), $client->connect(name: 'disconnect')->disconnect?->reason]);
        self::assertSame('DomainException: broken', $client->connect(name: 'failure')->failure);
        $this->expectException(\DomainException::class);
        (new TestClient($app))->connect(name: 'failure');
    }

    public function testNestedFieldsOfRequestsAreArrays(): void
    {
        $app = (new App())->onSharedPollRefresh(fn (SharedPollRefreshRequest $request) => new Error(7, $request->items[0]->getKey()));
        self::assertSame('k', (new TestClient($app))->sharedPollRefresh('c', [['key' => 'k', 'version' => 1]])->error?->getMessage());
    }

    public function testAStreamYieldsPublications(): void
    {
        $closed = false;
        $app = (new App())->onSubscribeUnidirectional(function (SubscribeStreamRequest $request) use (&$closed): \Generator {
            try {
                yield new SubscribeResult(data: $request->stream);
                for ($number = 1;; ++$number) {
                    yield new Publication($number, ['kind' => 'number']);
                }
            } finally {
                $closed = true;
            }
        });
        $stream = (new TestClient($app))->subscribeUnidirectional('c', stream: 's-1');
        self::assertSame('s-1', $stream->answer->data);
        foreach ($stream as $publication) {
            self::assertSame(['kind' => 'number'], $publication->tags);
            if ($publication->data === 3) {
                break;
            }
        }
        self::assertSame(4, $stream->next()?->data);
        self::assertTrue($stream->isOpen());
        self::assertFalse($closed);
        $stream->close();
        self::assertTrue($closed);
        self::assertSame([false, null], [$stream->isOpen(), $stream->next()]);
    }

    public function testAHandlerAnswersWhatTheClientPublishesToItsStream(): void
    {
        $app = (new App())->onSubscribeBidirectional(function (SubscribeStreamRequest $request): \Generator {
            yield new SubscribeResult();
            foreach ($request->messages() as $message) {
                yield new Publication(['you sent' => $message->json()]);
            }
            yield new Publication('bye');
        });
        $stream = (new TestClient($app))->subscribeBidirectional('c');
        self::assertNull($stream->next());
        self::assertTrue($stream->isOpen());
        $stream->publish(1)->publish([2]);
        self::assertSame([['you sent' => 1], ['you sent' => [2]], null], [$stream->next()?->data, $stream->next()?->data, $stream->next()]);
        self::assertSame(['you sent' => null], $stream->publish(null)->next()?->data);
        $stream->close();
        self::assertFalse($stream->isOpen());
    }

    public function testAStreamThatTheServerHoldsHasItsAnswerOnly(): void
    {
        $app = (new App())
            ->onSubscribeBidirectional(fn (SubscribeStreamRequest $request) => new SubscribeResult(data: $request->stream))
            ->onStreamPublish(fn (StreamPublishRequest $request) => new Error(7, "$request->stream {$request->data}"));
        $client = new TestClient($app);
        $stream = $client->subscribeBidirectional('c');
        self::assertSame(['test-stream', null, true], [$stream->answer->data, $stream->next(), $stream->isOpen()]);
        self::assertSame('test-stream [1]', $client->streamPublish('c', [1])->error?->getMessage());
    }

    public function testAStreamMayBeRefusedAndMayFail(): void
    {
        $app = (new App())->onSubscribeUnidirectional(function (SubscribeStreamRequest $request): \Generator {
            if ($request->user === '') {
                throw new Error(403, 'no');
            }
            yield new Publication(1);
            throw new \DomainException('broken');
        });
        $refused = (new TestClient($app))->subscribeUnidirectional('c');
        self::assertSame([403, false, null], [$refused->answer->error?->getCode(), $refused->isOpen(), $refused->next()]);
        $failing = (new TestClient($app, raiseExceptions: false))->subscribeUnidirectional('c', user: '42');
        self::assertSame([1, null, 'DomainException: broken'], [$failing->next()?->data, $failing->next(), $failing->failure]);
        $late = (new App())->onSubscribeUnidirectional(function (): \Generator {
            yield new Publication(new Raw("\xff\0"));
            throw new Error(403, 'no');
        });
        $stream = (new TestClient($late, raiseExceptions: false))->subscribeUnidirectional('c');
        self::assertSame(["\xff\0", null], [$stream->next()?->data, $stream->next()]);
        self::assertStringStartsWith(__FILE__, (string) $stream->failure);
        $wrong = (new App())->onRpc('x', fn () => 5);
        self::assertStringStartsWith(__FILE__, (string) (new TestClient($wrong, raiseExceptions: false))->rpc('x')->failure);
        $this->expectException(\DomainException::class);
        iterator_to_array((new TestClient($app))->subscribeUnidirectional('c', user: '42'));
    }
}
