<?php

declare(strict_types=1);

namespace Causeway;

use Causeway\Async\Task;

/** A request as it comes from the server: a JSON context with the event type and headers, and an encoded message. */
final class Payload
{
    private static ?Cancellation $never = null;

    /** Requested when the answer is no longer awaited. */
    public readonly Cancellation $cancellation;

    /**
     * @param bool $isJson whether the message is JSON, and not protobuf
     * @param Task|null $task the request in a worker that handles many at a time
     * @param (\Closure(): \Generator<int, string>)|null $messages what a client publishes to its stream, outside of such a worker
     */
    public function __construct(
        public readonly string $context,
        public readonly string $body,
        public readonly bool $isJson = false,
        private readonly ?Task $task = null,
        private readonly ?\Closure $messages = null,
    ) {
        $this->cancellation = $task === null ? self::$never ??= new Cancellation() : $task->cancellation;
    }

    /**
     * The encoded messages of the client of a bidirectional stream, if this worker gets them.
     *
     * @return \Generator<int, string>|null
     */
    public function messages(): ?\Generator
    {
        return $this->messages === null ? $this->task?->messages() : ($this->messages)();
    }
}
