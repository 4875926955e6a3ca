<?php

declare(strict_types=1);

namespace Causeway;

/**
 * The answer of a handler that is a generator.
 *
 * It yields the result of the subscription, which is empty if it begins with a publication, and then publications. An error or a
 * disconnect, yielded, returned or thrown before that, rejects the subscription like the answer of any other handler.
 *
 * @internal
 */
final class Stream
{
    /** @param string $place where the handler is defined */
    public function __construct(
        private readonly Event $event,
        private readonly \Generator $handler,
        private readonly Codec $codec,
        private readonly string $place,
        private readonly Incident $incident,
    ) {
    }

    /** Runs the handler up to its first message; returns what rejects the subscription, or null. */
    public function rejection(): Error|Disconnect|null
    {
        try {
            $first = $this->handler->valid() ? $this->handler->current() : $this->handler->getReturn();
        } catch (Error | Disconnect $thrown) {
            $first = $thrown;
        }

        return $first instanceof Error || $first instanceof Disconnect ? $first : null;
    }

    /**
     * The encoded messages.
     *
     * @return \Generator<int, string>
     * @throws WorkerException when the handler yields what cannot be a message
     */
    public function messages(): \Generator
    {
        $first = $this->handler->valid() ? $this->handler->current() : null;
        $result = $first instanceof Publication ? null : $first;
        yield $this->encode(fn (): string => $this->codec->opening($this->codec->answer($this->event, $result)));
        if ($first === $result) {
            $this->next();
        }
        for (; $this->handler->valid(); $this->next()) {
            yield $this->encode($this->publication(...));
        }
    }

    /** Lets the handler go on. The subscription can no longer be rejected, nor handed to another worker. */
    private function next(): void
    {
        try {
            $this->handler->next();
        } catch (Stop $stop) {
            throw $this->failed('a stream that has begun cannot go to another worker', $stop);
        } catch (Error | Disconnect $late) {
            $name = $late instanceof Error ? 'Error' : 'Disconnect';
            throw $this->failed("the stream ended with $name {$late->getCode()} {$late->getMessage()}", $late);
        } catch (\Throwable $error) {
            Failure::during($this->incident, $error);
            throw $error;
        }
    }

    private function publication(): string
    {
        $message = $this->handler->current();
        if (!$message instanceof Publication) {
            throw new WorkerException("the handler of {$this->event->value} yielded " . get_debug_type($message) . ', expected Publication');
        }

        return $this->codec->publication($message);
    }

    /** @param callable(): string $encode */
    private function encode(callable $encode): string
    {
        try {
            return $encode();
        } catch (\Throwable $error) {
            $problem = $error instanceof WorkerException ? '' : "cannot encode a message of {$this->event->value}: ";
            throw $this->failed("$problem{$error->getMessage()}", $error);
        }
    }

    private function failed(string $problem, \Throwable $cause): WorkerException
    {
        $error = new WorkerException("$this->place: $problem", previous: $cause);
        Failure::during($this->incident, $error);

        return $error;
    }
}
