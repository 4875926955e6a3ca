<?php

declare(strict_types=1);

namespace Causeway;

/**
 * Says whether the answer to a request is still awaited.
 *
 * Functions of this package that wait throw {@see Cancelled} once it is not. A fiber that waits in a function of another library is left
 * alone, since what it waits for, such as a lock, could be lost: give that function {@see self::toAmp()}, or call {@see self::subscribe()}.
 *
 * It is never requested in a worker that handles one request at a time.
 */
final class Cancellation
{
    private ?Cancelled $reason = null;

    private int $last = 0;

    /** @var array<int, \Closure(Cancelled): mixed> */
    private array $subscribers = [];

    public function isRequested(): bool
    {
        return $this->reason !== null;
    }

    /** @throws Cancelled */
    public function throwIfRequested(): void
    {
        if ($this->reason !== null) {
            throw $this->reason;
        }
    }

    /**
     * Calls `$subscriber` when cancellation is requested; at once if it was.
     *
     * @param \Closure(Cancelled): mixed $subscriber
     * @return int for {@see self::unsubscribe()}
     */
    public function subscribe(\Closure $subscriber): int
    {
        if ($this->reason !== null) {
            self::call($subscriber, $this->reason);
        } else {
            $this->subscribers[++$this->last] = $subscriber;
        }

        return $this->last;
    }

    public function unsubscribe(int $id): void
    {
        unset($this->subscribers[$id]);
    }

    /** The same for functions of amphp: `Amp\delay(5, cancellation: $request->cancellation->toAmp())`. */
    public function toAmp(): \Amp\Cancellation
    {
        $deferred = new \Amp\DeferredCancellation();
        $this->subscribe(static fn (Cancelled $reason) => $deferred->cancel($reason));

        return $deferred->getCancellation();
    }

    /** @internal */
    public function request(string $reason): void
    {
        if ($this->reason !== null) {
            return;
        }
        $this->reason = new Cancelled($reason);
        $subscribers = $this->subscribers;
        $this->subscribers = [];
        foreach ($subscribers as $subscriber) {
            self::call($subscriber, $this->reason);
        }
    }

    private static function call(\Closure $subscriber, Cancelled $reason): void
    {
        try {
            $subscriber($reason);
        } catch (\Throwable $error) {
            Failure::log($error);
        }
    }
}
