<?php

declare(strict_types=1);

namespace Causeway\Symfony;

use Causeway\App;
use Causeway\Event;
use Psr\Container\ContainerInterface;
use Psr\Log\LoggerInterface;

/**
 * Makes the application of what {@see HandlersPass} has collected.
 *
 * @internal
 */
final class AppFactory
{
    /**
     * @param ContainerInterface $services handlers, interceptors and what they need, by class
     * @param list<array{string, string, class-string, string}> $handlers type of event, pattern, class and method of each
     * @param list<array{string, class-string}> $interceptors type of event or `*`, and class of each
     */
    public static function create(
        ContainerInterface $services,
        array $handlers,
        array $interceptors,
        ?LoggerInterface $logger,
        ?string $codec,
        bool $backtrace,
        bool $debug,
    ): App {
        $app = new App($codec, $backtrace, $services, $logger, $debug);
        foreach ($handlers as [$event, $pattern, $class, $method]) {
            $app->on(Event::from($event), [$class, $method], $pattern);
        }
        foreach ($interceptors as [$event, $class]) {
            $app->interceptors([$event => $class]);
        }

        return $app;
    }
}
