<?php

declare(strict_types=1);

namespace Causeway\Async;

use Causeway\Cancellation;
use Causeway\Cancelled;

/**
 * One wait of one fiber. Whatever comes first ends it, also a cancellation of the fiber's request; what comes later has no effect.
 *
 * @internal
 */
final class Waiter
{
    /** @var \Fiber<mixed, mixed, mixed, mixed>|null */
    private ?\Fiber $fiber = null;

    public function __construct(private readonly Loop $loop)
    {
    }

    /**
     * Suspends the current fiber until {@see self::resume()} is called.
     *
     * @throws Cancelled
     */
    public function wait(?Cancellation $cancellation): mixed
    {
        $cancellation?->throwIfRequested();
        $this->fiber = \Fiber::getCurrent();
        $subscription = $cancellation?->subscribe(function (Cancelled $reason): void {
            $this->wake(static fn (\Fiber $fiber) => $fiber->throw($reason));
        });
        try {
            return \Fiber::suspend();
        } finally {
            $this->fiber = null;
            if ($cancellation !== null && $subscription !== null) {
                $cancellation->unsubscribe($subscription);
            }
        }
    }

    public function resume(mixed $value = null): void
    {
        $this->wake(static fn (\Fiber $fiber) => $fiber->resume($value));
    }

    /** @param \Closure(\Fiber<mixed, mixed, mixed, mixed>): mixed $how */
    private function wake(\Closure $how): void
    {
        $fiber = $this->fiber;
        if ($fiber === null) {
            return;
        }
        $this->fiber = null;
        $this->loop->queue(static function () use ($fiber, $how): void {
            // Not if the fiber was destroyed in the meantime, at the end of the process.
            if ($fiber->isSuspended()) {
                $how($fiber);
            }
        });
    }
}
