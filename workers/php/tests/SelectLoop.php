<?php

declare(strict_types=1);

namespace Causeway\Tests;

use Causeway\Async\Loop;
use Causeway\Failure;

/** An event loop for tests: `stream_select`, and no more than the interface asks for. */
final class SelectLoop implements Loop
{
    private int $last = 0;

    private bool $isStopped = false;

    /** @var array<string, array{resource, \Closure}> */
    private array $reading = [];

    /** @var array<string, array{resource, \Closure}> */
    private array $writing = [];

    /** @var array<string, array{float, \Closure}> */
    private array $timers = [];

    /** @var list<\Closure> */
    private array $queue = [];

    /** @var list<\Closure> */
    private array $deferred = [];

    public function onReadable($stream, \Closure $callback): string
    {
        $this->reading[$id = 'r' . ++$this->last] = [$stream, $callback];

        return $id;
    }

    public function onWritable($stream, \Closure $callback): string
    {
        $this->writing[$id = 'w' . ++$this->last] = [$stream, $callback];

        return $id;
    }

    public function delay(float $seconds, \Closure $callback): string
    {
        $this->timers[$id = 't' . ++$this->last] = [hrtime(true) / 1e9 + $seconds, $callback];

        return $id;
    }

    public function defer(\Closure $callback): void
    {
        $this->deferred[] = $callback;
    }

    public function queue(\Closure $callback): void
    {
        $this->queue[] = $callback;
    }

    public function cancel(string $id): void
    {
        unset($this->reading[$id], $this->writing[$id], $this->timers[$id]);
    }

    public function forget(): void
    {
    }

    public function run(): void
    {
        for ($this->isStopped = false; !$this->isStopped;) {
            [$deferred, $this->deferred] = [$this->deferred, []];
            array_map($this->call(...), $deferred);
            $this->timers();
            $this->select();
        }
    }

    public function stop(): void
    {
        $this->isStopped = true;
    }

    private function timers(): void
    {
        uasort($this->timers, static fn (array $one, array $other): int => $one[0] <=> $other[0]);
        foreach ($this->timers as $id => [$time, $callback]) {
            if ($time <= hrtime(true) / 1e9 && isset($this->timers[$id])) {
                unset($this->timers[$id]);
                $this->call($callback);
            }
        }
    }

    private function select(): void
    {
        $read = array_map(static fn (array $one) => $one[0], $this->reading);
        $write = array_map(static fn (array $one) => $one[0], $this->writing);
        $except = null;
        $next = $this->timers === [] ? 60.0 : max(min(array_column($this->timers, 0)) - hrtime(true) / 1e9, 0.0);
        $wait = $this->deferred === [] && !$this->isStopped ? (int) ceil($next * 1e6) : 0;
        if ($read === [] && $write === []) {
            usleep($wait);

            return;
        }
        if (!@stream_select($read, $write, $except, 0, $wait)) {
            return;
        }
        foreach (array_keys($read + $write) as $id) {
            $callback = $this->reading[$id] ?? $this->writing[$id] ?? null;
            if ($callback !== null) {
                $this->call($callback[1]);
            }
        }
    }

    private function call(\Closure $callback): void
    {
        try {
            $callback();
            while ($this->queue !== []) {
                array_shift($this->queue)();
            }
        } catch (\Throwable $error) {
            Failure::log($error);
        }
    }
}
