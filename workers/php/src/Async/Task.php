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
    public readonly Cancellation $cancellation;

    /** The window of the stream that is the answer, once it has begun. */
    private ?Window $window = null;

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
     * A message of the answer, once it may be sent.
     *
     * @throws Cancelled
     */
    public function message(string $message): Frame
    {
        $this->window ??= new Window($this->worker->loop);
        $this->window->take(strlen($message), $this->cancellation);

        return $this->frame($message, stream: Frame::STREAM);
    }

    /** Whether the answer is a stream that has begun. */
    public function isStreaming(): bool
    {
        return $this->window !== null;
    }

    /** Lets the handler send more messages. */
    public function grant(int $messages): void
    {
        $this->window?->grant($messages);
    }
}
