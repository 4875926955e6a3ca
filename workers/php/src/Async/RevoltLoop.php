<?php

declare(strict_types=1);

namespace Causeway\Async;

use Causeway\Failure;
use Revolt\EventLoop;
use Revolt\EventLoop\FiberLocal;

/**
 * Revolt's event loop, which amphp and other libraries share: https://revolt.run
 *
 * @internal
 */
final class RevoltLoop implements Loop
{
    public static function isInstalled(): bool
    {
        return class_exists(EventLoop::class);
    }

    public function onReadable($stream, \Closure $callback): string
    {
        return EventLoop::onReadable($stream, self::callback($callback));
    }

    public function onWritable($stream, \Closure $callback): string
    {
        return EventLoop::onWritable($stream, self::callback($callback));
    }

    public function delay(float $seconds, \Closure $callback): string
    {
        return EventLoop::delay($seconds, self::callback($callback));
    }

    public function defer(\Closure $callback): void
    {
        EventLoop::defer(self::callback($callback));
    }

    public function queue(\Closure $callback): void
    {
        EventLoop::queue($callback);
    }

    public function cancel(string $id): void
    {
        EventLoop::cancel($id);
    }

    public function forget(): void
    {
        FiberLocal::clear();
    }

    public function run(): void
    {
        if (EventLoop::getErrorHandler() === null) {
            EventLoop::setErrorHandler(static function (\Throwable $error): void {
                Failure::log($error);
            });
        }
        EventLoop::run();
    }

    public function stop(): void
    {
        EventLoop::getDriver()->stop();
    }

    /** Revolt passes arguments that are of no use here, and refuses what a callback returns. */
    private static function callback(\Closure $callback): \Closure
    {
        return static function () use ($callback): void {
            $callback();
        };
    }
}
