<?php

declare(strict_types=1);

namespace Causeway\Worker;

use Google\Protobuf\Internal\Message;

/** What all events have: a message, and the metadata that Centrifugo forwarded. */
abstract class Request
{
    public readonly Headers $headers;

    /** The protobuf message, for fields that have no property here. It is decoded when it is looked at first. */
    public readonly Message $message;

    /** The id of the client's connection. */
    public readonly string $client;

    /** The id of the user. */
    public readonly string $user;

    /** What the client sent along, decoded from base64 where Centrifugo was told to use it. */
    public readonly string $data;

    /** Where the message comes from, while it need not be decoded. */
    private ?Encoded $encoded = null;

    /** @var array<string, string> What it says then. */
    private array $texts = [];

    final public function __construct(Message|Encoded $message, Headers $headers)
    {
        $this->headers = $headers;
        $texts = $message instanceof Encoded ? $message->texts() : null;
        if ($texts === null) {
            $this->message = $message instanceof Encoded ? $message->message() : $message;
        } else {
            $this->encoded = $message;
            $this->texts = $texts;
            // What was unset is asked of __get.
            unset($this->message);
        }
        $this->client = $this->text('client');
        $this->user = $this->text('user');
        $encoded = $this->text('b64data');
        $this->data = $encoded === '' ? $this->text('data') : (string) base64_decode($encoded, true);
        $this->read();
    }

    /**
     * The data as JSON; null when there is none.
     *
     * @throws \JsonException when it is something else
     */
    public function json(): mixed
    {
        return $this->data === '' ? null : json_decode($this->data, true, flags: JSON_THROW_ON_ERROR);
    }

    /**
     * What the application attached to the connection out of the client's sight; null when there is none.
     *
     * @throws \JsonException when it is no JSON
     */
    public function meta(): mixed
    {
        $meta = $this->text('meta');

        return $meta === '' ? null : json_decode($meta, true, flags: JSON_THROW_ON_ERROR);
    }

    /** @return array<string, string> what the application attached to the connection */
    public function labels(): array
    {
        return $this->list('labels');
    }

    /** Reads the fields of one kind of event. */
    protected function read(): void
    {
    }

    /** A field of the message, or an empty string where the message has no such field. */
    protected function text(string $field): string
    {
        if ($this->encoded !== null) {
            return $this->texts[$field] ?? '';
        }

        return method_exists($this->message, "get$field") ? (string) $this->message->{"get$field"}() : '';
    }

    /** @return array<mixed> a repeated field of the message, or an empty array where the message has no such field */
    protected function list(string $field): array
    {
        return $this->encoded === null && method_exists($this->message, "get$field")
            ? iterator_to_array($this->message->{"get$field"}())
            : [];
    }

    public function __isset(string $name): bool
    {
        return $name === 'message';
    }

    public function __get(string $name): mixed
    {
        if ($name === 'message' && $this->encoded !== null) {
            return $this->message = $this->encoded->message();
        }
        trigger_error('Undefined property: ' . static::class . "::\$$name", E_USER_WARNING);

        return null;
    }
}
