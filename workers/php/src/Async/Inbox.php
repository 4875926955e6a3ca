<?php

declare(strict_types=1);

namespace Causeway\Async;

use Causeway\Cancellation;

/**
 * What the client of a bidirectional stream has published and the handler has not taken.
 *
 * @internal
 */
final class Inbox
{
    /** @var \SplQueue<string> */
    private readonly \SplQueue $messages;

    private readonly Waiter $waiter;

    private bool $isClosed = false;

    /** Messages taken since the last grant. */
    private int $taken = 0;

    /** @param \Closure(int): void $grant grants the server more messages */
    public function __construct(Loop $loop, Cancellation $cancellation, private readonly \Closure $grant)
    {
        $this->messages = new \SplQueue();
        $this->waiter = new Waiter($loop);
        $cancellation->subscribe($this->close(...));
    }

    public function add(string $message): void
    {
        $this->messages->enqueue($message);
        $this->waiter->resume();
    }

    public function close(): void
    {
        $this->isClosed = true;
        $this->waiter->resume();
    }

    /** Waits for the next message; returns null when there are no more. */
    public function next(): ?string
    {
        while ($this->messages->isEmpty()) {
            if ($this->isClosed) {
                return null;
            }
            $this->waiter->wait(null);
        }
        // Half a window at a time: grants cost little, and the server does not have to wait for them.
        if (++$this->taken === Window::SIZE >> 1 && !$this->isClosed) {
            ($this->grant)($this->taken);
            $this->taken = 0;
        }

        return $this->messages->dequeue();
    }
}
