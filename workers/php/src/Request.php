<?php

declare(strict_types=1);

namespace Causeway;

/**
 * What all events have in common. A field that an event does not have is empty.
 *
 * Fields that carry nested messages, and those of newer versions of Centrifugo, are in `$message`.
 */
abstract class Request
{
    /** The id of the client's connection. */
    public readonly string $client;

    /** The id of the user. */
    public readonly string $user;

    /** The client's transport, such as websocket. */
    public readonly string $transport;

    /** The client's protocol: json or protobuf. */
    public readonly string $protocol;

    /** The encoding of the client's data: json or binary. */
    public readonly string $encoding;

    /** The data that the client sent; decoded if Centrifugo sent it as base64. */
    public readonly string $data;

    /** Requested when the answer is no longer awaited. */
    public readonly Cancellation $cancellation;

    /**
     * @param object $message the message: a class in `Causeway\Proto\Proxy`, or with JSON an object with the same getters
     * @param Headers $headers the headers of Centrifugo's call
     */
    final public function __construct(
        public readonly object $message,
        public readonly Headers $headers,
        protected readonly Codec $codec,
        protected readonly Payload $payload,
    ) {
        $this->cancellation = $payload->cancellation;
        $this->client = $this->text('client');
        $this->user = $this->text('user');
        $this->transport = $this->text('transport');
        $this->protocol = $this->text('protocol');
        $this->encoding = $this->text('encoding');
        // Its first reader decodes it, see __get().
        unset($this->data);
        $this->read();
    }

    /** The first value of a header, or `$default`. Names are case-insensitive. */
    public function header(string $name, ?string $default = null): ?string
    {
        return $this->headers->get($name, $default);
    }

    /**
     * The data, decoded as JSON; null when there is none.
     *
     * @throws \JsonException when it is not JSON
     */
    public function json(): mixed
    {
        if ($this->text('b64data') === '') {
            return $this->codec->json($this->message, 'data');
        }

        return $this->data === '' ? null : json_decode($this->data, true, flags: JSON_THROW_ON_ERROR);
    }

    /**
     * What the application attached to the connection, hidden from the client; null when there is nothing.
     *
     * @throws \JsonException when it is not JSON
     */
    public function meta(): mixed
    {
        return $this->codec->json($this->message, 'meta');
    }

    /** @return array<string, string> the labels that the application attached to the connection */
    public function labels(): array
    {
        return $this->values('labels');
    }

    /** @internal the data, when it is read for the first time */
    public function __get(string $name): string
    {
        if ($name !== 'data') {
            throw new \LogicException('there is no property ' . static::class . "::\$$name");
        }
        $encoded = $this->text('b64data');
        $data = $encoded === '' ? $this->codec->raw($this->message, 'data') : base64_decode($encoded, true);

        return $this->data = $data === false ? throw new \UnexpectedValueException('b64data is not base64') : $data;
    }

    /** @internal */
    public function __isset(string $name): bool
    {
        return $name === 'data';
    }

    /** Reads the fields of one type of event. */
    protected function read(): void
    {
    }

    final protected function text(string $field): string
    {
        return $this->codec->text($this->message, $field);
    }

    /** @return array<mixed> */
    final protected function values(string $field): array
    {
        return $this->codec->values($this->message, $field);
    }
}
