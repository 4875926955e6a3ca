<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\App;
use Causeway\Disconnect;
use Causeway\Error;
use Causeway\Event;
use Causeway\Event\ConnectRequest;
use Causeway\Event\NotifyChannelStateRequest;
use Causeway\Event\RpcRequest;
use Causeway\Event\SharedPollRefreshRequest;
use Causeway\Payload;
use Causeway\Proto\Proxy;
use Causeway\Raw;
use Causeway\Request;
use Causeway\Result;
use Causeway\Result\ConnectResult;
use Causeway\Result\MapPublishResult;
use Causeway\Result\NotifyCacheEmptyResult;
use Causeway\Result\PublishResult;
use Causeway\Result\RpcResult;
use Causeway\Result\SubscribeResult;
use Causeway\WorkerException;
use Google\Protobuf\Internal\Message;
use PHPUnit\Framework\TestCase;

/** What an application answers, without a worker around it. */
final class AppTest extends TestCase
{
    /** @return iterable<string, array{Event}> */
    public static function events(): iterable
    {
        foreach (Event::cases() as $event) {
            yield $event->value => [$event];
        }
    }

    /** @dataProvider events */
    public function testEveryEventHasAHandlerAndAResult(Event $event): void
    {
        $seen = null;
        $class = $event->resultClass();
        $handler = static function (Request $request) use (&$seen, $class): Result {
            $seen = $request;

            return new $class();
        };
        $app = new App();
        $event === Event::Rpc ? $app->onRpc('*', $handler) : $app->{"on$event->name"}($handler);
        $response = self::ask($app, $event);
        self::assertInstanceOf($event->requestClass(), $seen);
        self::assertTrue($response->hasResult());
    }

    /** @dataProvider events */
    public function testRequestsAndResultsHaveAllFieldsOfTheirMessages(Event $event): void
    {
        $class = new \ReflectionClass($event->requestClass());
        foreach (self::fields($event->requestMessage()) as $field) {
            $isPublic = $class->hasMethod($field) ? $class->getMethod($field)->isPublic() : $class->getProperty($field)->isPublic();
            self::assertTrue($isPublic, $field);
        }
        $parameters = (new \ReflectionClass($event->resultClass()))->getConstructor()?->getParameters() ?? [];
        $names = array_map(static fn (\ReflectionParameter $parameter): string => $parameter->getName(), $parameters);
        self::assertEqualsCanonicalizing($event === Event::StreamEnd ? [] : self::fields($event->resultMessage()), $names);
    }

    public function testAMethodHasPrecedenceOverTheHandlerOfAllOtherCalls(): void
    {
        $app = (new App())
            ->onRpc('*', fn (RpcRequest $request) => new RpcResult("other: $request->method"))
            ->onRpc('a', fn () => new RpcResult('a'));
        foreach (['a' => '"a"', 'b' => '"other: b"', '' => '"other: "', '*' => '"other: *"'] as $method => $data) {
            $response = self::ask($app, Event::Rpc, new Proxy\RPCRequest(['method' => $method]));
            self::assertSame($data, $response->getResult()->getData());
        }
    }

    public function testARequestHasTheHeadersThatWereForwarded(): void
    {
        $seen = [];
        $app = (new App())->onConnect(function (ConnectRequest $request) use (&$seen): void {
            $seen[] = [$request->header('X-User'), $request->header('none'), $request->header('none', 'default'), $request->headers->all()];
        });
        $app->answer(new Payload('{"x-user":["7","8"],"odd":[null,{},3],"type":["connect"]}', ''));
        $all = ['x-user' => ['7', '8'], 'odd' => ['3'], 'type' => ['connect']];
        self::assertSame([['7', null, 'default', $all]], $seen);
    }

    public function testDataIsDecodedFromBase64(): void
    {
        $app = (new App())->onRpc('*', fn (RpcRequest $request) => new RpcResult(strtoupper($request->data)));
        $response = self::ask($app, Event::Rpc, new Proxy\RPCRequest(['b64data' => 'aGVsbG8=']));
        self::assertSame('"HELLO"', $response->getResult()->getData());
        $this->expectExceptionMessage('b64data is not base64');
        self::ask($app, Event::Rpc, new Proxy\RPCRequest(['b64data' => '?']));
    }

    public function testFieldsThatAnEventDoesNotHaveAreEmpty(): void
    {
        $app = (new App())
            ->onNotifyChannelState(function (NotifyChannelStateRequest $request): Error {
                self::assertSame(['', '', '', null, null, []], [
                    $request->client, $request->user, $request->data, $request->json(), $request->meta(), $request->labels(),
                ]);

                return new Error(7, $request->events[0]->getChannel(), temporary: true);
            })
            ->onSharedPollRefresh(fn (SharedPollRefreshRequest $request) => new Error(8, $request->items[0]->getKey()));
        $events = new Proxy\NotifyChannelStateRequest(['events' => [new Proxy\ChannelEvent(['channel' => 'room'])]]);
        $error = self::ask($app, Event::NotifyChannelState, $events)->getError();
        self::assertSame([7, 'room', true], [$error->getCode(), $error->getMessage(), $error->getTemporary()]);
        $items = new Proxy\SharedPollRefreshRequest(['items' => [new Proxy\SharedPollRefreshItem(['key' => 'k'])]]);
        self::assertSame('k', self::ask($app, Event::SharedPollRefresh, $items)->getError()->getMessage());
    }

    public function testResultsCarryNestedMessagesAndJson(): void
    {
        $filter = new Proxy\FilterNode(['key' => 'k']);
        $app = (new App())
            ->onConnect(fn () => new ConnectResult(
                data: 0,
                info: new Raw('{"raw":1}'),
                meta: ['plan' => 'pro'],
                labels: ['a' => 'b'],
                subs: ['news' => new Proxy\SubscribeOptions(['expire_at' => 7])],
                caps: [new Proxy\ChannelsCapability(['match' => 'wildcard'])],
            ))
            ->onSubscribe(fn () => new SubscribeResult(serverTagsFilter: $filter, allow: ['pub']))
            ->onMapPublish(fn () => new MapPublishResult(streamData: [], keyMode: 'm', version: 3));
        $connect = self::ask($app, Event::Connect)->getResult();
        self::assertSame(['0', '{"raw":1}', '{"plan":"pro"}'], [$connect->getData(), $connect->getInfo(), $connect->getMeta()]);
        self::assertSame('b', $connect->getLabels()['a']);
        self::assertEquals(7, $connect->getSubs()['news']->getExpireAt());
        self::assertSame('wildcard', $connect->getCaps()[0]->getMatch());
        $subscribe = self::ask($app, Event::Subscribe)->getResult();
        self::assertSame(['k', 'pub'], [$subscribe->getServerTagsFilter()->getKey(), $subscribe->getAllow()[0]]);
        $map = self::ask($app, Event::MapPublish)->getResult();
        self::assertSame(['[]', 'm'], [$map->getStreamData(), $map->getKeyMode()]);
        self::assertEquals(3, $map->getVersion());
    }

    /** @return iterable<string, array{Event, callable, string}> handlers whose answers are none, and what the message says */
    public static function wrongAnswers(): iterable
    {
        $returned = static fn (string $event, string $found, string $expected, string $refusals = ', Error, Disconnect'): string
            => "the handler of $event returned $found, expected $expected$refusals or null";
        yield 'text' => [Event::Connect, fn () => 'yes', $returned('connect', 'string', 'ConnectResult')];
        yield 'array' => [Event::Rpc, fn () => ['a' => 1], $returned('rpc', 'array', 'RpcResult')];
        yield 'result of another event' => [
            Event::Publish,
            fn () => new RpcResult(1),
            $returned('publish', 'Causeway\Result\RpcResult', 'PublishResult'),
        ];
        yield 'several answers' => [
            Event::Subscribe,
            function (): iterable {
                yield new SubscribeResult();
                yield new Error(1, 'second');
            },
            $returned('subscribe', 'Generator', 'SubscribeResult'),
        ];
        yield 'no refusal' => [Event::NotifyCacheEmpty, fn () => 1, $returned('notifycacheempty', 'int', 'NotifyCacheEmptyResult', '')];
        yield 'only an error' => [
            Event::SharedPollRefresh,
            fn () => 1,
            $returned('sharedpollrefresh', 'int', 'SharedPollRefreshResult', ', Error'),
        ];
        $none = static fn (string $what, string $event): string => "Centrifugo takes no $what in answer to $event";
        yield 'no error' => [Event::NotifyCacheEmpty, fn () => new Error(1, 'x'), $none('error', 'notifycacheempty')];
        yield 'no disconnect' => [Event::NotifyCacheEmpty, fn () => throw new Disconnect(4000, 'x'), $none('disconnect', 'notifycacheempty')];
        yield 'no disconnect of channels' => [
            Event::NotifyChannelState,
            fn () => new Disconnect(4000, 'x'),
            $none('disconnect', 'notifychannelstate'),
        ];
        yield 'data' => [
            Event::Publish,
            fn () => new PublishResult("\xff"),
            'cannot encode the answer to publish: data: Malformed UTF-8 characters, possibly incorrectly encoded',
        ];
        yield 'nested raw' => [
            Event::Rpc,
            fn () => new RpcResult(['a' => new Raw('{}')]),
            'cannot encode the answer to rpc: data: a value that is encoded as JSON cannot contain a Raw',
        ];
    }

    /** @dataProvider wrongAnswers */
    public function testAWrongAnswerFailsWithThePlaceOfItsHandler(Event $event, callable $handler, string $message): void
    {
        $app = (new App())->on($event, $handler);
        $line = (new \ReflectionFunction(\Closure::fromCallable($handler)))->getStartLine();
        try {
            self::ask($app, $event);
            self::fail('it was answered');
        } catch (WorkerException $error) {
            self::assertSame(__FILE__ . ":$line: $message", $error->getMessage());
        }
    }

    public function testAnUnknownEventIsNamed(): void
    {
        foreach (['{"type":["nonsense"]}' => 'nonsense', '' => '', '[]' => '', '{"type":[]}' => ''] as $context => $type) {
            try {
                (new App())->answer(new Payload($context, ''));
                self::fail('it was answered');
            } catch (WorkerException $error) {
                self::assertSame("unknown event type \"$type\"", $error->getMessage());
            }
        }
    }

    public function testASecondHandlerOfAnEventIsAnErrorThatNamesTheFirst(): void
    {
        $app = (new App())->onConnect(fn () => null)->onRpc('sum', fn () => null);
        $place = preg_quote(__FILE__ . ':' . (__LINE__ - 1), '~');
        foreach ([fn () => $app->onConnect(fn () => null), fn () => $app->onRpc('sum', fn () => null)] as $again) {
            try {
                $again();
                self::fail('it was registered');
            } catch (\LogicException $error) {
                self::assertMatchesRegularExpression("~^(connect|RPC method \"sum\") has a handler already: $place\$~", $error->getMessage());
            }
        }
    }

    public function testTheSameContextIsDecodedOnce(): void
    {
        $seen = [];
        $app = (new App())->onRpc('*', function (RpcRequest $request) use (&$seen): void {
            $seen[] = $request->headers;
        });
        foreach ([1, 1, 2] as $user) {
            $app->answer(new Payload("{\"user\":[\"$user\"],\"type\":[\"rpc\"]}", ''));
        }
        self::assertSame($seen[0], $seen[1]);
        self::assertSame('2', $seen[2]->get('user'));
    }

    public function testNullIsAnEmptyResultAndZeroIsNot(): void
    {
        $app = (new App())->onRpc('none', fn () => null)->onRpc('null', fn () => new RpcResult())->onRpc('0', fn () => new RpcResult(0))
            ->onRpc('1.0', fn () => new RpcResult(1.0))
            ->onConnect(fn () => new ConnectResult(user: '0'))
            ->onNotifyCacheEmpty(fn () => new NotifyCacheEmptyResult(populated: true));
        foreach (['none' => '', 'null' => '', '0' => '0', '1.0' => '1.0'] as $method => $data) {
            $result = self::ask($app, Event::Rpc, new Proxy\RPCRequest(['method' => (string) $method]))->getResult();
            self::assertSame($data, $result->getData());
        }
        self::assertSame('0', self::ask($app, Event::Connect)->getResult()->getUser());
        self::assertTrue(self::ask($app, Event::NotifyCacheEmpty)->getResult()->getPopulated());
    }

    private static function ask(App $app, Event $event, ?Message $request = null): Message
    {
        $class = 'Causeway\\Proto\\Proxy\\' . substr($event->resultMessage(), 0, -6) . 'Response';
        $response = new $class();
        $answer = $app->answer(new Payload("{\"type\":[\"$event->value\"]}", $request?->serializeToString() ?? ''));
        self::assertIsString($answer);
        $response->mergeFromString($answer);

        return $response;
    }

    /** @return list<string> the fields of a message in camel case, without those for base64, which requests decode and results do not need */
    private static function fields(string $message): array
    {
        $setters = preg_grep('~^set(?!B64)~', get_class_methods("Causeway\\Proto\\Proxy\\$message")) ?: [];

        return array_map(static fn (string $setter): string => lcfirst(substr($setter, 3)), array_values($setters));
    }
}
