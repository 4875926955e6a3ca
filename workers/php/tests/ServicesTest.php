<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\App;
use Causeway\Attribute\OnConnect;
use Causeway\Attribute\OnPublish;
use Causeway\Attribute\OnRpc;
use Causeway\Attribute\OnSubscribe;
use Causeway\Error;
use Causeway\Event;
use Causeway\Event\ConnectRequest;
use Causeway\Event\PublishRequest;
use Causeway\Event\RpcRequest;
use Causeway\Event\SubscribeRequest;
use Causeway\Request;
use Causeway\Result\ConnectResult;
use Causeway\Result\RpcResult;
use Causeway\Result\SubscribeResult;
use Causeway\Testing\TestClient;
use PHPUnit\Framework\TestCase;

final class ConnectService
{
    public function handle(ConnectRequest $request): ConnectResult
    {
        return new ConnectResult(user: $request->name);
    }
}

final class Clock
{
    public function __construct(public readonly int $now = 12)
    {
    }
}

#[OnRpc('whole.class')]
final class Users
{
    public int $calls = 0;

    public function __construct(private readonly Clock $clock)
    {
    }

    #[OnRpc('users.get')]
    public function get(RpcRequest $request): RpcResult
    {
        return new RpcResult(['now' => $this->clock->now, 'calls' => ++$this->calls]);
    }

    #[OnRpc('users.*')]
    public function others(RpcRequest $request): RpcResult
    {
        return new RpcResult("other $request->method");
    }

    #[OnSubscribe('users:*'), OnSubscribe('people:*')]
    public function subscribe(SubscribeRequest $request): SubscribeResult
    {
        return new SubscribeResult(data: $request->channel);
    }

    #[OnConnect]
    public static function connect(): ConnectResult
    {
        return new ConnectResult(user: 'static');
    }

    public function handle(RpcRequest $request): RpcResult
    {
        return new RpcResult('class');
    }
}

final class ServicesTest extends TestCase
{
    public function testServicesAreMappedToTypesOfEvents(): void
    {
        $app = (new App())->services([
            Event::Connect->value => ConnectService::class,
            'publish' => new class () {
                public function __invoke(PublishRequest $request): never
                {
                    throw new Error(7, $request->channel);
                }
            },
        ]);
        $client = new TestClient($app);
        self::assertSame(['user' => 'browser'], $client->connect(name: 'browser')->result);
        self::assertSame('news', $client->publish('news', 1)->error?->getMessage());
    }

    public function testMethodsWithAttributesAreHandlers(): void
    {
        $client = new TestClient((new App(logger: new RecordingLogger()))->services([new Users(new Clock(3))]));
        self::assertSame(['now' => 3, 'calls' => 1], $client->rpc('users.get')->data);
        self::assertSame('other users.set', $client->rpc('users.set')->data);
        self::assertSame('class', $client->rpc('whole.class')->data);
        self::assertSame(108, $client->rpc('groups.get')->error?->getCode());
        self::assertSame(['people:1', 'users:1'], [$client->subscribe('people:1')->data, $client->subscribe('users:1')->data]);
        self::assertSame(108, $client->subscribe('other:1')->error?->getCode());
        self::assertSame(['user' => 'static'], $client->connect()->result);
    }

    /** @dataProvider \Causeway\Tests\AppTest::events */
    public function testEveryEventHasAnAttribute(Event $event): void
    {
        $class = "Causeway\\Attribute\\On$event->name";
        $attribute = $event->subject() === null ? new $class() : new $class('a*');
        self::assertSame([$event, $event->subject() === null ? '*' : 'a*'], [$attribute->event, $attribute->pattern]);
        self::assertSame($event->subject() === null ? [] : [$event->subject()], array_map(
            static fn (\ReflectionParameter $parameter): string => $parameter->name,
            (new \ReflectionMethod($class, '__construct'))->getParameters(),
        ));
    }

    public function testTheContainerMakesServicesAndDecidesHowLongTheyLive(): void
    {
        $container = new Container([Users::class => fn () => new Users(new Clock(5))]);
        $app = (new App(container: $container))->services([Users::class])->onPublish([Users::class, 'connect']);
        self::assertSame([], $container->calls, 'nothing is made before it is needed');
        $client = new TestClient($app);
        self::assertSame(['now' => 5, 'calls' => 1], $client->rpc('users.get')->data);
        self::assertSame(['now' => 5, 'calls' => 1], $client->rpc('users.get')->data);
        self::assertSame([Users::class => 2], $container->calls);
    }

    public function testWithoutAContainerThereIsOneObjectOfAClass(): void
    {
        $counter = new class () {
            private int $calls = 0;

            #[OnRpc('count')]
            public function count(): RpcResult
            {
                return new RpcResult(++$this->calls);
            }

            #[OnRpc('again')]
            public function again(): RpcResult
            {
                return $this->count();
            }
        };
        $client = new TestClient((new App())->services([$counter::class]));
        self::assertSame([1, 2], [$client->rpc('count')->data, $client->rpc('again')->data]);
        $this->expectExceptionMessage(Users::class . ' cannot be made without a container: its constructor takes arguments');
        (new TestClient((new App())->services([Users::class])))->rpc('users.get');
    }

    public function testHandlersTakeObjectsAfterTheRequest(): void
    {
        $container = new Container([Clock::class => fn () => new Clock(8), \Countable::class => fn () => new \ArrayObject([1, 2])]);
        $handler = fn (RpcRequest $request, Clock $clock, \Countable $list, int $more = 1) => new RpcResult([$clock->now, count($list), $more]);
        self::assertSame([8, 2, 1], (new TestClient((new App(container: $container))->onRpc('x', $handler)))->rpc('x')->data);
        $alone = (new App())->onRpc('x', fn (RpcRequest $request, Clock $clock) => new RpcResult($clock->now));
        self::assertSame(12, (new TestClient($alone))->rpc('x')->data);
    }

    public function testHandlersCanBeClassesOrTheirMethods(): void
    {
        $app = (new App(container: new Container([Users::class => fn () => new Users(new Clock(1))])))
            ->onConnect(ConnectService::class)
            ->onRpc('a', [Users::class, 'get'])
            ->onRpc('b', 'Causeway\Tests\Users::handle');
        $client = new TestClient($app);
        self::assertSame('x', $client->connect(name: 'x')->result['user'] ?? null);
        self::assertSame(1, $client->rpc('a')->data['now']);
        self::assertSame('class', $client->rpc('b')->data);
    }

    /** @return iterable<string, array{\Closure(App): mixed, string}> what cannot be registered, and why; @ is the place */
    public static function mistakes(): iterable
    {
        yield 'event' => [fn (App $app) => $app->services(['conect' => ConnectService::class]), 'expected a type of event such as "connect", found "conect"'];
        yield 'class' => [fn (App $app) => $app->services(['connect' => 'No\Such']), 'expected a handler, found "No\Such", which is neither a function nor a class'];
        yield 'no class' => [fn (App $app) => $app->services(['No\Such']), 'there is no class No\Such'];
        yield 'no attributes' => [
            fn (App $app) => $app->services([ConnectService::class]),
            ConnectService::class . ' has no handlers: expected methods with attributes such as #[OnRpc]',
        ];
        yield 'method' => [fn (App $app) => $app->onRpc('x', [Users::class, 'none']), Users::class . ' has no public method none()'];
        yield 'array' => [fn (App $app) => $app->onRpc('x', [1, 2, 3]), 'expected a function, a class, or a class and a method'];
        yield 'request' => [fn (App $app) => $app->onConnect(fn (RpcRequest $request) => null), '@: a handler of connect takes ConnectRequest, not RpcRequest'];
        yield 'requests' => [
            fn (App $app) => $app->onConnect(fn (RpcRequest|PublishRequest $request) => null),
            '@: a handler of connect takes ConnectRequest, not RpcRequest|PublishRequest',
        ];
        yield 'argument' => [
            fn (App $app) => $app->onRpc('x', fn (RpcRequest $request, string $name) => null),
            '@: only objects can be passed to a handler besides the request, not $name',
        ];
        yield 'needs a container' => [fn (App $app) => $app->onRpc('x', [Users::class, 'get']), Users::class . ' cannot be made without a container'];
        yield 'takes what needs a container' => [
            fn (App $app) => $app->onRpc('x', fn (RpcRequest $request, Users $users) => null),
            '@: ' . Users::class . ' cannot be made without a container: its constructor takes arguments',
        ];
        yield 'no subject' => [fn (App $app) => $app->on(Event::Connect, fn () => null, 'a*'), '@: connect takes no pattern, found "a*"'];
        yield 'interceptor' => [fn (App $app) => $app->interceptors(['*' => ConnectService::class]), 'expected an interceptor, found "' . ConnectService::class . '"'];
        yield 'interceptors' => [fn (App $app) => $app->interceptors(['rcp' => fn () => null]), 'expected a type of event such as "connect", found "rcp"'];
    }

    /**
     * @dataProvider mistakes
     * @param \Closure(App): mixed $register
     */
    public function testAMistakeIsReportedWhereItIsMade(\Closure $register, string $message): void
    {
        $line = (new \ReflectionFunction($register))->getStartLine();
        $this->expectException(\LogicException::class);
        $this->expectExceptionMessage(strtr($message, ['@' => __FILE__ . ":$line"]));
        $register(new App());
    }

    public function testASecondHandlerOfAPatternNamesTheFirst(): void
    {
        $app = (new App())->onSubscribe(fn () => null, 'chat:*')->onSubscribe(fn () => null, 'chat:1');
        foreach (['chat:*', 'chat:1'] as $channel) {
            try {
                $app->onSubscribe(fn () => null, $channel);
                self::fail('it was registered');
            } catch (\LogicException $error) {
                self::assertMatchesRegularExpression('~^subscribe "' . preg_quote($channel, '~') . '" has a handler already: .*:\d+$~', $error->getMessage());
            }
        }
    }

    public function testHandlersOfAnyRequestTakeAllEvents(): void
    {
        $app = new App();
        foreach (Event::cases() as $event) {
            $app->on($event, fn (Request $request) => null);
        }
        $this->addToAssertionCount(1);
    }
}
