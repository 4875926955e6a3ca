<?php

declare(strict_types=1);

namespace Causeway\Async;

/**
 * What the workers for many requests need of an event loop. {@see RevoltLoop} is the one that applications use.
 *
 * @internal
 */
interface Loop
{
    /**
     * Calls `$callback` whenever the stream can be read.
     *
     * @param resource $stream
     * @param \Closure(): void $callback
     * @return string an id for {@see self::cancel()}
     */
    public function onReadable($stream, \Closure $callback): string;

    /**
     * Calls `$callback` whenever the stream can be written.
     *
     * @param resource $stream
     * @param \Closure(): void $callback
     * @return string an id for {@see self::cancel()}
     */
    public function onWritable($stream, \Closure $callback): string;

    /**
     * Calls `$callback` once, after some time.
     *
     * @param \Closure(): void $callback
     * @return string an id for {@see self::cancel()}
     */
    public function delay(float $seconds, \Closure $callback): string;

    /** Calls `$callback` after everything that is ready to run now. */
    public function defer(\Closure $callback): void;

    /** Calls `$callback` as soon as the current callback has returned. */
    public function queue(\Closure $callback): void;

    /** Forgets a callback. */
    public function cancel(string $id): void;

    /** Forgets what the current fiber has stored for itself, so that its next request does not find it. */
    public function forget(): void;

    /** Runs callbacks until {@see self::stop()} is called. Exceptions of callbacks are logged. */
    public function run(): void;

    public function stop(): void;
}
