<?php

declare(strict_types=1);

namespace Causeway\Laravel;

use Causeway\App;
use Causeway\Rpc;
use Illuminate\Broadcasting\BroadcastManager;
use Illuminate\Contracts\Config\Repository;
use Illuminate\Contracts\Foundation\Application;
use Illuminate\Support\ServiceProvider;

/**
 * Laravel's side of Causeway: the application and its handlers in `routes/centrifugo.php`, the command `centrifugo:work`, and the broadcaster
 * `centrifugo`.
 */
final class CentrifugoServiceProvider extends ServiceProvider
{
    private const CONFIG = __DIR__ . '/config.php';

    public function register(): void
    {
        $this->mergeConfigFrom(self::CONFIG, 'centrifugo');
        $this->app->singleton(Rpc::class, static function (Application $laravel): Rpc {
            $config = Settings::of($laravel->make(Repository::class));

            return new Rpc($config->rpc, $config->timeout);
        });
        $this->app->singleton(App::class, static function (Application $laravel): App {
            $config = Settings::of($laravel->make(Repository::class));
            $app = new App($config->codec, $config->backtrace, $laravel->make(Services::class), debug: $config->debug);

            return $app->interceptors(['*' => Lifecycle::class])->interceptors($config->interceptors)->services($config->services);
        });
        // The routes use the facade, which needs the application.
        $this->app->afterResolving(App::class, static function (App $app, Application $laravel): void {
            $routes = Settings::of($laravel->make(Repository::class))->routes ?? $laravel->basePath('routes/centrifugo.php');
            if (is_file($routes)) {
                (static fn (): mixed => require $routes)();
            }
        });
    }

    public function boot(): void
    {
        $config = $this->app->make(Repository::class);
        if ($config->get('broadcasting.connections.centrifugo') === null) {
            $config->set('broadcasting.connections.centrifugo', ['driver' => 'centrifugo']);
        }
        $this->callAfterResolving(BroadcastManager::class, static function (BroadcastManager $manager): void {
            $manager->extend('centrifugo', static fn (Application $laravel): CentrifugoBroadcaster => $laravel->make(CentrifugoBroadcaster::class));
        });
        if ($this->app->runningInConsole()) {
            $this->publishes([self::CONFIG => $this->app->configPath('centrifugo.php')], 'centrifugo');
            $this->commands([WorkCommand::class]);
        }
    }
}
