<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\App;
use Causeway\Error;
use Causeway\Event\RpcRequest;
use Causeway\Event\SubscribeRequest;
use Causeway\Laravel\CentrifugoBroadcaster;
use Causeway\Laravel\ChannelAuthorization;
use Causeway\Laravel\Lifecycle;
use Causeway\Laravel\Services;
use Causeway\Laravel\Settings;
use Causeway\Result\RpcResult;
use Causeway\Rpc;
use Causeway\Testing\TestClient;
use Illuminate\Auth\Access\AuthorizationException;
use Illuminate\Auth\AuthenticationException;
use Illuminate\Auth\AuthManager;
use Illuminate\Auth\GenericUser;
use Illuminate\Broadcasting\BroadcastException;
use Illuminate\Container\Container as LaravelContainer;
use Illuminate\Contracts\Broadcasting\Factory as Broadcasting;
use Illuminate\Contracts\Config\Repository;
use Illuminate\Contracts\Debug\ExceptionHandler;
use Symfony\Component\HttpKernel\Exception\AccessDeniedHttpException;
use Symfony\Component\HttpKernel\Exception\NotFoundHttpException;

/**
 * The adapter for Laravel: with laravel/framework if it is installed, otherwise with as much of it as is needed here.
 *
 * @requires extension pcntl
 * @requires extension posix
 */
final class LaravelTest extends RpcTestCase
{
    public static function setUpBeforeClass(): void
    {
        require_once __DIR__ . '/stubs/psr.php';
        require_once __DIR__ . '/stubs/illuminate.php';
    }

    public function testAnEventIsOneCallForAllItsChannels(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $data = '"data":{"event":"OrderShipped","data":{"order":7}}';
            $peer->answer($peer->expect('centrifuge.Broadcast{"channels":["private-orders.7","news"],' . $data . ',"tags":{"socket":"c-1"}}'), '{"result":{"responses":[{},{}]}}');
            $peer->answer($peer->expect('centrifuge.Broadcast{"channels":["news"],"data":{"event":"E","data":{}}}'), '{}');
        });
        $broadcaster = new CentrifugoBroadcaster($rpc);
        $broadcaster->broadcast(['private-orders.7', 'news'], 'OrderShipped', ['order' => 7, 'socket' => 'c-1']);
        $broadcaster->broadcast(['news'], 'E', ['socket' => null]);
        $broadcaster->broadcast([], 'E');
        $this->server?->finish();
        $this->addToAssertionCount(2);
    }

    public function testWhatCannotBeBroadcastIsAnException(): void
    {
        $rpc = $this->serve(static function (Peer $peer): void {
            $peer->answer($peer->receive(), '{"result":{"responses":[{},{"error":{"code":102,"message":"unknown channel"}}]}}');
            $peer->answer($peer->receive(), '{"error":{"code":107,"message":"bad request"}}');
            $peer->refuse($peer->receive(), 'connection refused');
        });
        $broadcaster = new CentrifugoBroadcaster($rpc);
        foreach (['Centrifugo error in no:such: unknown channel (102)', 'Centrifugo error: bad request (107)', 'Centrifugo error: connection refused'] as $message) {
            try {
                $broadcaster->broadcast(['news', 'no:such'], 'E');
                self::fail('it was sent');
            } catch (BroadcastException $error) {
                self::assertSame($message, $error->getMessage());
            }
        }
    }

    public function testSubscribesAreAuthorizedByTheChannelsOfBroadcasting(): void
    {
        $broadcaster = new CentrifugoBroadcaster(new Rpc('tcp://127.0.0.1:1'));
        $broadcaster->channel('orders.{id}', fn (GenericUser $user, $id) => $user->getAuthIdentifier() === 42 && $id === '7');
        $broadcaster->channel('room.{id}', fn (GenericUser $user) => ['name' => "user {$user->getAuthIdentifier()}"]);
        $handler = new ChannelAuthorization(self::broadcasting($broadcaster), self::auth(), self::config(['auth.defaults.guard' => 'web', 'auth.guards.web.provider' => 'users']));
        $client = new TestClient((new App())->onSubscribe(fn (SubscribeRequest $request) => $handler->handle($request)));
        $allowed = static fn (string $channel, string $user): bool => $client->subscribe($channel, user: $user)->ok;
        self::assertSame([true, false, false, false], array_map($allowed, ['private-orders.7', 'private-orders.8', 'private-orders.7', 'private-orders.7'], ['42', '42', '43', '']));
        self::assertSame([true, true, false], array_map($allowed, ['news', 'news', 'private-unknown'], ['', '42', '42']));
        self::assertSame(['info' => ['name' => 'user 43']], $client->subscribe('presence-room.1', user: '43')->result);
        self::assertSame([103, 'permission denied'], (fn (?Error $error): array => [$error?->getCode(), $error?->getMessage()])($client->subscribe('presence-room.1')->error));
    }

    public function testExceptionsOfLaravelAreErrorsAndOthersAreReported(): void
    {
        $reports = new class () implements ExceptionHandler {
            /** @var list<string> */
            public array $messages = [];

            public function report(\Throwable $e)
            {
                $this->messages[] = $e->getMessage();
            }

            public function shouldReport(\Throwable $e)
            {
                return true;
            }

            public function render($request, \Throwable $e)
            {
                throw $e;
            }

            public function renderForConsole($output, \Throwable $e)
            {
            }
        };
        $laravel = new LaravelContainer();
        $laravel->instance(ExceptionHandler::class, $reports);
        $app = (new App())->interceptors(['*' => new Lifecycle($laravel)]);
        $thrown = [
            101 => new AuthenticationException(),
            103 => new AuthorizationException(),
            403 => new Error(403, 'my own'),
            404 => new NotFoundHttpException(),
        ];
        foreach ($thrown as $code => $error) {
            $app->onRpc((string) $code, fn () => throw $error);
        }
        $app->onRpc('denied', fn () => throw new AccessDeniedHttpException())->onRpc('broken', fn () => throw new \DomainException('broken'));
        $client = new TestClient($app, raiseExceptions: false);
        foreach (array_keys($thrown) as $code) {
            self::assertSame($code, $client->rpc((string) $code)->error?->getCode());
        }
        self::assertSame(103, $client->rpc('denied')->error?->getCode());
        self::assertSame([], $reports->messages);
        self::assertSame('DomainException: broken', $client->rpc('broken')->failure);
        self::assertSame(['broken'], $reports->messages);
    }

    public function testNothingOfARequestIsLeftForTheNext(): void
    {
        $laravel = new LaravelContainer();
        $guards = new class () {
            public int $forgotten = 0;

            public function forgetGuards(): void
            {
                ++$this->forgotten;
            }
        };
        $laravel->instance('auth', $guards);
        $laravel->make('auth');
        $laravel->scoped('counter', fn () => new \ArrayObject());
        $app = (new App())->interceptors(['*' => new Lifecycle($laravel)])->onRpc('*', function (RpcRequest $request) use ($laravel): RpcResult {
            $laravel->make('counter')[] = 1;
            $laravel->make('counter')[] = 1;

            return new RpcResult(count($laravel->make('counter')));
        });
        $client = new TestClient($app);
        self::assertSame([2, 2], [$client->rpc('x')->data, $client->rpc('x')->data]);
        self::assertSame($laravel->resolved('auth') ? 2 : 0, $guards->forgotten);
    }

    public function testHandlersThatAreClassesAreMadeByTheContainerOfLaravel(): void
    {
        $laravel = new LaravelContainer();
        $services = new Services($laravel);
        self::assertTrue($services->has(self::class));
        self::assertFalse($services->has('No\Such'));
        $laravel->instance('No\Such', $services);
        self::assertSame([true, $services], [$services->has('No\Such'), $services->get('No\Such')]);
    }

    public function testTheConfigurationHasDefaults(): void
    {
        $default = Settings::of(self::config([]));
        self::assertSame([null, 5.0, null, [], [], null, false, false], array_values(get_object_vars($default)));
        $settings = Settings::of(self::config(['centrifugo' => ['rpc' => '', 'timeout' => 1, 'routes' => '/r.php', 'services' => ['S'], 'codec' => 'json', 'debug' => 1]]));
        self::assertSame([null, 1.0, '/r.php', ['S'], [], 'json', false, true], array_values(get_object_vars($settings)));
    }

    private static function broadcasting(CentrifugoBroadcaster $broadcaster): Broadcasting
    {
        return new class ($broadcaster) implements Broadcasting {
            public function __construct(private readonly CentrifugoBroadcaster $broadcaster)
            {
            }

            public function connection($name = null)
            {
                return $name === 'centrifugo' ? $this->broadcaster : null;
            }
        };
    }

    /** Users 42 and 43. */
    private static function auth(): AuthManager
    {
        return new class () extends AuthManager {
            public function __construct()
            {
            }

            /** @param string|null $provider */
            public function createUserProvider($provider = null): object
            {
                return new class ($provider) {
                    public function __construct(private readonly ?string $name)
                    {
                    }

                    public function retrieveById(string $id): ?GenericUser
                    {
                        return $this->name === 'users' && in_array($id, ['42', '43'], true) ? new GenericUser(['id' => (int) $id]) : null;
                    }
                };
            }
        };
    }

    /** @param array<string, mixed> $values */
    private static function config(array $values): Repository
    {
        return new class ($values) implements Repository {
            /** @param array<string, mixed> $values */
            public function __construct(private array $values)
            {
            }

            public function has($key)
            {
                return isset($this->values[$key]);
            }

            public function get($key, $default = null)
            {
                return $this->values[$key] ?? $default;
            }

            public function all()
            {
                return $this->values;
            }

            public function set($key, $value = null)
            {
                $this->values[$key] = $value;
            }

            public function prepend($key, $value)
            {
            }

            public function push($key, $value)
            {
            }
        };
    }
}
