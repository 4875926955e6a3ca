<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\App;
use Causeway\Event;
use Causeway\Event\RpcRequest;
use Causeway\Interceptor;
use Causeway\Request;
use Causeway\Result\RpcResult;
use Causeway\Rpc;
use Causeway\Symfony\AppFactory;
use Causeway\Symfony\AsInterceptor;
use Causeway\Symfony\CausewayBundle;
use Causeway\Symfony\ResetServices;
use Causeway\Testing\TestClient;
use PHPUnit\Framework\TestCase;
use Symfony\Component\DependencyInjection\ContainerBuilder;
use Symfony\Component\HttpKernel\Bundle\AbstractBundle;
use Symfony\Contracts\Service\ResetInterface;

#[AsInterceptor(Event::Rpc, priority: -1)]
final class Inner implements Interceptor
{
    public function intercept(Request $request, callable $next): mixed
    {
        $request->context['seen'] = [...$request->context['seen'] ?? [], 'inner'];

        return $next($request);
    }
}

#[AsInterceptor]
final class Outer implements Interceptor
{
    public function intercept(Request $request, callable $next): mixed
    {
        $request->context['seen'] = [...$request->context['seen'] ?? [], 'outer'];

        return $next($request);
    }
}

final class Seen
{
    #[\Causeway\Attribute\OnRpc('seen.*')]
    public function seen(RpcRequest $request, Clock $clock): RpcResult
    {
        return new RpcResult([$request->context['seen'], $clock->now]);
    }
}

#[\Causeway\Attribute\OnRpc]
final class Rest
{
    public function __invoke(RpcRequest $request): RpcResult
    {
        return new RpcResult('rest');
    }
}

/** The bundle for Symfony; what needs Symfony itself is skipped without it. */
final class SymfonyTest extends TestCase
{
    public static function setUpBeforeClass(): void
    {
        require_once __DIR__ . '/stubs/symfony.php';
        require_once __DIR__ . '/ServicesTest.php';
    }

    public function testTheApplicationConsistsOfWhatTheContainerWasCompiledTo(): void
    {
        $services = new Container([
            Seen::class => fn () => new Seen(),
            Clock::class => fn () => new Clock(7),
            Inner::class => fn () => new Inner(),
            ResetServices::class => fn () => new ResetServices(null),
        ]);
        $handlers = [['rpc', 'seen.*', Seen::class, 'seen']];
        $app = AppFactory::create($services, $handlers, [['*', ResetServices::class], ['rpc', Inner::class]], null, null, false, false);
        self::assertSame([], $services->calls);
        self::assertSame([['inner'], 7], (new TestClient($app))->rpc('seen.x')->data);
    }

    public function testServicesAreResetAfterEachRequest(): void
    {
        $services = new class () implements ResetInterface {
            public int $resets = 0;

            public function reset(): void
            {
                ++$this->resets;
            }
        };
        $app = (new App())->interceptors(['*' => new ResetServices($services)])
            ->onRpc('count', fn () => new RpcResult($services->resets))
            ->onRpc('broken', fn () => throw new \DomainException('broken'));
        $client = new TestClient($app, raiseExceptions: false);
        self::assertSame(0, $client->rpc('count')->data);
        self::assertNotNull($client->rpc('broken')->failure);
        self::assertSame(2, $client->rpc('count')->data);
    }

    public function testTheBundleFindsHandlersAndInterceptors(): void
    {
        if (!class_exists(AbstractBundle::class)) {
            self::markTestSkipped('symfony/http-kernel and symfony/dependency-injection are not installed');
        }
        $container = new ContainerBuilder();
        $container->setParameter('kernel.environment', 'test');
        $container->setParameter('kernel.build_dir', sys_get_temp_dir());
        foreach ([Seen::class, Rest::class, Inner::class, Outer::class, Clock::class] as $class) {
            $container->autowire($class)->setAutoconfigured(true);
        }
        $bundle = new CausewayBundle();
        $bundle->build($container);
        $extension = $bundle->getContainerExtension();
        self::assertNotNull($extension);
        $container->registerExtension($extension);
        $container->loadFromExtension('causeway', ['rpc' => 'tcp://127.0.0.1:7']);
        $container->compile();
        $rpc = $container->get(Rpc::class);
        self::assertSame('tcp://127.0.0.1:7', $rpc instanceof Rpc ? $rpc->address : null);
        $app = $container->get(App::class);
        assert($app instanceof App);
        $client = new TestClient($app);
        self::assertSame([['outer', 'inner'], 12], $client->rpc('seen.x')->data);
        self::assertSame('rest', $client->rpc('x')->data);
    }
}
