<?php

declare(strict_types=1);

namespace Causeway\Async;

use Causeway\Cancellation;
use Causeway\Cancelled;
use Causeway\Frame;
use Causeway\Payload;

/**
 * One request in hand, and the window of the stream that may be its answer.
 *
 * @internal
 */
final class Task
{
    /** Messages of a stream that either side may send before the other one grants more. */
    public const WINDOW = 64;

    public readonly Cancellation $cancellation;

    private int $window = self::WINDOW;

    private bool $isStreaming = false;

    private ?Waiter $waiter = null;

    private ?Inbox $inbox = null;

    public function __construct(public readonly int $id, private readonly Frame $request, private readonly Worker $worker)
    {
        $this->cancellation = new Cancellation();
    }

    public function payload(): Payload
    {
        $length = $this->request->options[0];
        $isJson = ($this->request->flags & Frame::JSON) !== 0;

        return new Payload(substr($this->request->payload, 0, $length), substr($this->request->payload, $length), $isJson, $this);
    }

    /** A frame of the answer. */
    public function frame(string $payload, int $flags = 0, int $stream = 0, int $context = 0): Frame
    {
        return new Frame($payload, $flags, [$context, $this->id], $stream);
    }

    /**
     * What the client of a bidirectional stream publishes, encoded.
     *
     * @return \Generator<int, string>
     */
    public function messages(): \Generator
    {
        while (($message = $this->inbox()->next()) !== null) {
            yield $message;
        }
    }

    /** What the client of a bidirectional stream publishes. */
    public function inbox(): Inbox
    {
        $grant = fn (int $messages) => $this->worker->grant($this->id, $messages);

        return $this->inbox ??= new Inbox($this->worker->loop, $this->cancellation, $grant);
    }

    /**
     * Waits until one more message of the answer may be sent.
     *
     * @throws Cancelled
     */
    public function take(): void
    {
        $this->isStreaming = true;
        $this->cancellation->throwIfRequested();
        while ($this->window <= 0) {
            ($this->waiter ??= new Waiter($this->worker->loop))->wait($this->cancellation);
        }
        --$this->window;
    }

    /** Whether the answer is a stream that has begun. */
    public function isStreaming(): bool
    {
        return $this->isStreaming;
    }

    /** Lets the handler send more messages. */
    public function grant(int $messages): void
    {
        $this->window += $messages;
        $this->waiter?->resume();
    }
}
