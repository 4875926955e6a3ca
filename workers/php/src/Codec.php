<?php

declare(strict_types=1);

namespace Causeway;

use Causeway\Codec\JsonCodec;
use Causeway\Codec\ProtoCodec;
use Google\Protobuf\Internal\Message;

/**
 * How messages are encoded: as protobuf, or as JSON in the shape of Centrifugo's HTTP proxy.
 *
 * Events, results and answers are the same with both. With JSON, a worker needs no protobuf at all.
 *
 * @internal
 */
abstract class Codec
{
    /** The name in the handshake. */
    public const NAME = '';

    /**
     * The codec that an application wants; by default JSON if the server offers it, unless the extension protobuf is loaded.
     *
     * @throws \LogicException when the codec cannot be used here
     */
    public static function choose(?string $wanted = null): self
    {
        if ($wanted !== null && $wanted !== ProtoCodec::NAME && $wanted !== JsonCodec::NAME) {
            throw new \LogicException("expected the codec \"proto\" or \"json\", found \"$wanted\"");
        }
        $isOffered = Handshake::offers('CAUSEWAY_CODECS', JsonCodec::NAME);
        if ($wanted === JsonCodec::NAME && !$isOffered) {
            throw new \LogicException('this server does not offer the codec "json"');
        }
        if ($wanted === JsonCodec::NAME || ($wanted === null && $isOffered && !extension_loaded('protobuf'))) {
            return new JsonCodec();
        }
        if (!class_exists(Message::class)) {
            $missing = 'google/protobuf is missing: install it with Composer, or Debian\'s php-google-protobuf, or the extension protobuf';
            throw new \LogicException($missing);
        }

        return new ProtoCodec();
    }

    /**
     * Encodes the answer of a handler.
     *
     * @throws WorkerException when it cannot be the answer to such an event
     * @throws \Exception whose message begins with the field that cannot be encoded
     */
    final public function answer(Event $event, mixed $answer): string
    {
        if ($answer instanceof Error || $answer instanceof Disconnect) {
            if ($answer instanceof Error ? $event->takesError() : $event->takesDisconnect()) {
                return $this->refusal($event, $answer);
            }
            $refusal = $answer instanceof Error ? 'error' : 'disconnect';
            throw new WorkerException("Centrifugo takes no $refusal in answer to $event->value");
        }
        $found = get_debug_type($answer);
        if ($answer !== null && $found !== $event->resultClass()) {
            $result = substr((string) strrchr($event->resultClass(), '\\'), 1);
            $expected = [$result, ...($event->takesError() ? ['Error'] : []), ...($event->takesDisconnect() ? ['Disconnect'] : [])];
            throw new WorkerException("the handler of $event->value returned $found, expected " . implode(', ', $expected) . ' or null');
        }

        /** @var Result|null $answer */
        return $this->result($event, $answer);
    }

    /**
     * Decodes a message of Centrifugo's proxy.
     *
     * @return object with a getter for each field
     * @throws \Exception when the bytes are not such a message
     */
    abstract public function decode(string $message, string $body): object;

    /** The value of a string field; empty when the message does not have it. */
    abstract public function text(object $message, string $field): string;

    /** @return array<mixed> the values of a list or a map; empty when the message does not have it */
    abstract public function values(object $message, string $field): array;

    /** The bytes of a field that carries JSON; empty when the message does not have it. */
    abstract public function raw(object $message, string $field): string;

    /**
     * The value of a field that carries JSON; null when the message does not have it.
     *
     * @throws \JsonException when it is not JSON
     */
    abstract public function json(object $message, string $field): mixed;

    /**
     * Encodes a response with a result, which is empty by default.
     *
     * @throws \Exception whose message begins with the field that cannot be encoded
     */
    abstract public function result(Event $event, ?Result $result): string;

    /** Encodes a response with an error or a disconnect. */
    abstract public function refusal(Event $event, Error|Disconnect $refusal): string;

    /** Encodes the first message of a stream, which contains the response to the subscription. */
    abstract public function opening(string $response): string;

    /** Encodes another message of a stream. */
    abstract public function publication(Publication $publication): string;
}
