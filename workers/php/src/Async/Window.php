<?php

declare(strict_types=1);

namespace Causeway\Async;

use Causeway\Cancellation;
use Causeway\Cancelled;

/**
 * The messages of a stream that may still be sent to the server, which grants more for those that it has passed on.
 *
 * It grants half a window at a time. So that many large messages do not fill its memory, only half of the window is used while what it has
 * not granted again exceeds {@see self::BYTES}.
 *
 * @internal
 */
final class Window
{
    /** Messages that either side may send before the other one has granted any. */
    public const SIZE = 64;

    private const BYTES = 262144;

    private int $left = self::SIZE;

    /** @var \SplQueue<int> bytes of the messages that are not granted again */
    private readonly \SplQueue $ahead;
    private int $bytes = 0;

    private readonly Waiter $waiter;

    public function __construct(Loop $loop)
    {
        $this->ahead = new \SplQueue();
        $this->waiter = new Waiter($loop);
    }

    /**
     * Waits until a message of this size may be sent.
     *
     * @throws Cancelled
     */
    public function take(int $size, Cancellation $cancellation): void
    {
        $cancellation->throwIfRequested();
        while ($this->left <= 0 || ($this->bytes >= self::BYTES && count($this->ahead) >= self::SIZE >> 1)) {
            $this->waiter->wait($cancellation);
        }
        --$this->left;
        $this->ahead->enqueue($size);
        $this->bytes += $size;
    }

    public function grant(int $messages): void
    {
        $this->left += $messages;
        for (; $messages > 0 && !$this->ahead->isEmpty(); --$messages) {
            $this->bytes -= $this->ahead->dequeue();
        }
        $this->waiter->resume();
    }
}
