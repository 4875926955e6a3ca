<?php

declare(strict_types=1);

namespace Causeway\Async;

use Causeway\Failure;

/**
 * Runs each task in a fiber, so many at a time. Fibers are used again: a new one costs more than most handlers.
 *
 * @internal
 */
final class Fibers
{
    /** @var \SplQueue<Task> tasks that wait for a fiber */
    private readonly \SplQueue $waiting;

    /** @var list<\Fiber<mixed, mixed, mixed, mixed>> fibers without a task */
    private array $idle = [];

    /** Fibers with a task. */
    private int $busy = 0;

    /** How often a fiber has given way to others. */
    private int $turns = 0;

    /** @param \Closure(Task): void $serve answers a task; what it throws is logged */
    public function __construct(private readonly Loop $loop, private readonly int $limit, private readonly \Closure $serve)
    {
        $this->waiting = new \SplQueue();
    }

    public function add(Task $task): void
    {
        $this->waiting->enqueue($task);
    }

    /** Starts tasks that wait, each of which runs until it is suspended. */
    public function start(): void
    {
        while ($this->busy < $this->limit && !$this->waiting->isEmpty()) {
            ++$this->busy;
            $fiber = array_pop($this->idle);
            if ($fiber !== null) {
                $fiber->resume();
            } else {
                (new \Fiber($this->work(...)))->start();
            }
            ++$this->turns;
        }
    }

    /** A number that is the same as before unless another task has run meanwhile. */
    public function turn(): int
    {
        return $this->turns;
    }

    private function work(): void
    {
        for (;;) {
            while (!$this->waiting->isEmpty()) {
                try {
                    $task = $this->waiting->dequeue();
                    ($this->serve)($task);
                    $task = null;
                } catch (\Throwable $error) {
                    // A destructor of something that was attached to the request, which is answered.
                    Failure::log($error);
                }
                $this->loop->forget();
            }
            --$this->busy;
            $fiber = \Fiber::getCurrent();
            assert($fiber !== null);
            $this->idle[] = $fiber;
            \Fiber::suspend();
        }
    }
}
