<?php

declare(strict_types=1);

namespace Causeway;

/**
 * What all events have in common. A field that an event does not have is empty.
 *
 * Fields that carry nested messages, and those of newer versions of Centrifugo, are in `$message`.
 *
 * @property-read Event $event the type of the event
 * @property-read \ArrayObject<string, mixed> $context what interceptors leave for the handler and for each other; empty at first
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

    /** @var \ArrayObject<string, mixed>|null */
    private ?\ArrayObject $ownContext = null;

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
        $this->client = $codec->text($message, 'client');
        $this->user = $codec->text($message, 'user');
        $this->transport = $codec->text($message, 'transport');
        $this->protocol = $codec->text($message, 'protocol');
        $this->encoding = $codec->text($message, 'encoding');
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
        /** @var array<string, string> $labels */
        $labels = $this->values('labels');

        return $labels;
    }

    /** @internal what few handlers read */
    public function __get(string $name): mixed
    {
        return match ($name) {
            'data' => $this->readData(),
            'context' => $this->ownContext ??= new \ArrayObject(),
            'event' => Event::from((string) $this->header('type')),
            default => throw new \LogicException('there is no property ' . static::class . "::\$$name"),
        };
    }

    /** @internal */
    public function __isset(string $name): bool
    {
        return $name === 'data' || $name === 'context' || $name === 'event';
    }

    /** The data, when it is read for the first time. */
    private function readData(): string
    {
        $encoded = $this->text('b64data');
        $data = $encoded === '' ? $this->codec->raw($this->message, 'data') : base64_decode($encoded, true);

        return $this->data = $data === false ? throw new \UnexpectedValueException('b64data is not base64') : $data;
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
