<?php

declare(strict_types=1);

namespace Causeway\Testing;

use Causeway\Failure;
use Causeway\Fields;
use Causeway\Json;
use Causeway\Publication;

/**
 * A subscription to a stream, as its client sees it.
 *
 * The handler runs up to its next publication when that is asked for; while it waits for a message of the client, there is none.
 *
 * @implements \IteratorAggregate<int, Publication>
 */
final class TestStream implements \IteratorAggregate
{
    /** The answer to the subscription. */
    public readonly Answer $answer;

    /** Why the stream has failed; null if it has not. */
    public ?string $failure = null;

    /** @var \Fiber<mixed, mixed, string|null, mixed>|null */
    private ?\Fiber $fiber = null;

    /** @var \Iterator<mixed, string>|null messages of the handler; null if it has returned a result, so that the server holds the stream */
    private ?\Iterator $messages = null;

    /** @var list<string> what the client has sent and the handler has not taken */
    private array $sent = [];

    private bool $isOpen = true;

    /**
     * @internal
     * @param \Closure(\Closure(): \Generator<int, string>): (string|iterable<string>) $serve calls the handler
     * @param \Closure(\Closure(): mixed): mixed $call runs a part of the application; returns what it does, or how it fails
     */
    public function __construct(\Closure $serve, private readonly \Closure $call)
    {
        $answer = ($this->call)(fn (): mixed => $this->run(function () use ($serve): string {
            $answer = $serve($this->inbox(...));
            if (is_string($answer)) {
                return $answer;
            }
            $this->messages = (fn (): \Generator => yield from $answer)();

            return $this->messages->current();
        }));
        if ($answer === null) {
            throw new \LogicException('the handler waits for a message of its client before it has answered the subscription');
        }
        if (is_string($answer) && $this->messages !== null) {
            $opening = Fields::of(json_decode($answer, true, flags: JSON_THROW_ON_ERROR));
            $answer = Json::encode($opening->mixed('subscribe_response'));
        }
        $this->answer = Answer::of($answer);
        $this->isOpen = $this->answer->ok;
    }

    /** The next publication; null if the handler has ended, or waits for a message of the client. */
    public function next(): ?Publication
    {
        $messages = $this->messages;
        if (!$this->isOpen || $messages === null) {
            return null;
        }
        $message = ($this->call)(fn (): mixed => $this->run(static function () use ($messages): ?string {
            $messages->next();

            return $messages->valid() ? $messages->current() : null;
        }));
        if ($message instanceof \Throwable) {
            $this->failure = Failure::text($message);
        }
        if (!is_string($message)) {
            $this->isOpen = $this->fiber !== null;

            return null;
        }
        $fields = Fields::of(json_decode($message, true, flags: JSON_THROW_ON_ERROR))->fields('publication')->all();
        $publication = Fields::of(Answer::decoded($fields));
        /** @var array<string, string> $tags */
        $tags = Fields::strings($publication->mixed('tags'));

        return new Publication($publication->mixed('data'), $tags);
    }

    /** Publications up to the end of the handler, or until it waits for a message of the client. */
    public function getIterator(): \Generator
    {
        while (($publication = $this->next()) !== null) {
            yield $publication;
        }
    }

    /** Publishes a message to the stream, for a handler that reads the messages of its request. */
    public function publish(mixed $data): self
    {
        $this->sent[] = Json::encode($data);

        return $this;
    }

    /** Whether the subscription was accepted and goes on. */
    public function isOpen(): bool
    {
        return $this->isOpen;
    }

    /** The client leaves. */
    public function close(): void
    {
        $this->isOpen = false;
        $fiber = $this->fiber;
        $this->fiber = null;
        if ($fiber !== null) {
            ($this->call)(static fn (): mixed => $fiber->resume());
        }
        $this->messages = null;
    }

    /**
     * Runs the handler up to its next message, in a fiber that is suspended while it waits for the client.
     *
     * @param \Closure(): ?string $part
     */
    private function run(\Closure $part): ?string
    {
        $fiber = $this->fiber ?? new \Fiber($part);
        $this->fiber = null;
        $fiber->isStarted() ? $fiber->resume() : $fiber->start();
        if (!$fiber->isTerminated()) {
            $this->fiber = $fiber;

            return null;
        }

        /** @var string|null $message */
        $message = $fiber->getReturn();

        return $message;
    }

    /**
     * What the client sends, encoded.
     *
     * @return \Generator<int, string>
     */
    private function inbox(): \Generator
    {
        for (;;) {
            while ($this->sent === []) {
                if (!$this->isOpen) {
                    return;
                }
                \Fiber::suspend();
            }
            yield array_shift($this->sent);
        }
    }
}
