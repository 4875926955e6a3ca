<?php

declare(strict_types=1);

namespace Causeway\Worker;

use Google\Protobuf\Internal\Message;

/** What all events have: a message, and the metadata that Centrifugo forwarded. */
abstract class Request
{
    public readonly Headers $headers;

    /** The protobuf message, for fields that have no property here. */
    public readonly Message $message;

    /** The id of the client's connection. */
    public readonly string $client;

    /** The id of the user. */
    public readonly string $user;

    /** What the client sent along, decoded from base64 where Centrifugo was told to use it. */
    public readonly string $data;

    final public function __construct(Message $message, Headers $headers)
    {
        $this->message = $message;
        $this->headers = $headers;
        $this->client = $this->text('getClient');
        $this->user = $this->text('getUser');
        $encoded = $this->text('getB64data');
        $this->data = $encoded === '' ? $this->text('getData') : (string) base64_decode($encoded, true);
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
        $meta = $this->text('getMeta');

        return $meta === '' ? null : json_decode($meta, true, flags: JSON_THROW_ON_ERROR);
    }

    /** @return array<string, string> what the application attached to the connection */
    public function labels(): array
    {
        return method_exists($this->message, 'getLabels') ? iterator_to_array($this->message->getLabels()) : [];
    }

    /** Reads the fields of one kind of event. */
    protected function read(): void
    {
    }

    /** A field of the message, or an empty string where the message has no such field. */
    protected function text(string $getter): string
    {
        return method_exists($this->message, $getter) ? (string) $this->message->$getter() : '';
    }
}
