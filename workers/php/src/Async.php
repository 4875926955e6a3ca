<?php

declare(strict_types=1);

namespace Causeway;

use Causeway\Async\Loop;
use Causeway\Async\Waiter;
use Causeway\Async\Worker;

/**
 * For handlers of a worker that runs many requests at a time, see {@see App::run()}. In any other process, functions that wait block.
 */
final class Async
{
    private static ?Loop $loop = null;

    private static ?Worker $worker = null;

    /** @var \WeakMap<\Fiber<mixed, mixed, mixed, mixed>, Cancellation>|null */
    private static ?\WeakMap $cancellations = null;

    /** Whether waiting lets other requests run. */
    public static function isRunning(): bool
    {
        return self::$loop !== null && \Fiber::getCurrent() !== null;
    }

    /**
     * Waits for some time.
     *
     * @throws Cancelled when the answer to the current request is no longer awaited
     */
    public static function delay(float $seconds): void
    {
        $loop = self::isRunning() ? self::$loop : null;
        if ($loop === null) {
            usleep((int) (max($seconds, 0.0) * 1e6));

            return;
        }
        $waiter = new Waiter($loop);
        $timer = $loop->delay(max($seconds, 0.0), static fn () => $waiter->resume());
        try {
            $waiter->wait(self::cancellation());
        } finally {
            $loop->cancel($timer);
        }
    }

    /** The cancellation of the current request. */
    public static function cancellation(): Cancellation
    {
        $fiber = \Fiber::getCurrent();

        return ($fiber === null ? null : self::$cancellations[$fiber] ?? null) ?? new Cancellation();
    }

    /** Takes at most this many requests at a time from now on; 0: none for now. The limit of {@see App::run()} stays in force. */
    public static function limit(int $requests): void
    {
        self::$worker?->limit($requests);
    }

    /**
     * Waits until a stream can be read or written; returns false after `$seconds`.
     *
     * @internal only if {@see self::isRunning()}
     * @param resource|null $reading
     * @param resource|null $writing
     * @throws Cancelled when the answer to the current request is no longer awaited
     */
    public static function await($reading, $writing, float $seconds): bool
    {
        $loop = self::$loop ?? throw new \LogicException('there is no event loop');
        $waiter = new Waiter($loop);
        $callbacks = [$loop->delay(max($seconds, 0.0), static fn () => $waiter->resume(false))];
        if ($reading !== null) {
            $callbacks[] = $loop->onReadable($reading, static fn () => $waiter->resume(true));
        }
        if ($writing !== null) {
            $callbacks[] = $loop->onWritable($writing, static fn () => $waiter->resume(true));
        }
        try {
            return $waiter->wait(self::cancellation()) === true;
        } finally {
            array_map($loop->cancel(...), $callbacks);
        }
    }

    /** @internal */
    public static function start(Worker $worker): void
    {
        /** @var \WeakMap<\Fiber<mixed, mixed, mixed, mixed>, Cancellation> $cancellations */
        $cancellations = new \WeakMap();
        [self::$worker, self::$loop, self::$cancellations] = [$worker, $worker->loop, $cancellations];
    }

    /** @internal */
    public static function stop(): void
    {
        [self::$worker, self::$loop, self::$cancellations] = [null, null, null];
    }

    /** @internal Says which request the current fiber handles. */
    public static function enter(Cancellation $cancellation): void
    {
        $fiber = \Fiber::getCurrent();
        if ($fiber !== null) {
            self::$cancellations?->offsetSet($fiber, $cancellation);
        }
    }

    /** @internal The current fiber has handled its request. */
    public static function leave(): void
    {
        if (self::$cancellations !== null) {
            unset(self::$cancellations[\Fiber::getCurrent()]);
        }
    }
}
