<?php

declare(strict_types=1);

namespace Causeway;

use Google\Protobuf\Internal\Message;

/**
 * What all events have in common. A field that an event does not have is empty.
 *
 * Fields that carry nested messages, and those of newer versions of Centrifugo, are in `$message`.
 */
abstract class Request
{
    /** The headers of Centrifugo's call. */
    public readonly Headers $headers;

    /** The protobuf message. */
    public readonly Message $message;

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

    final public function __construct(Message $message, Headers $headers)
    {
        $this->message = $message;
        $this->headers = $headers;
        // Requests are decoded for every event: one check covers what all events of clients have.
        $isOfClient = method_exists($message, 'getClient');
        $this->client = $isOfClient ? $message->getClient() : '';
        $this->transport = $isOfClient ? $message->getTransport() : '';
        $this->protocol = $isOfClient ? $message->getProtocol() : '';
        $this->encoding = $isOfClient ? $message->getEncoding() : '';
        $this->user = method_exists($message, 'getUser') ? $message->getUser() : '';
        if (method_exists($message, 'getData')) {
            $encoded = $message->getB64data();
            $decoded = $encoded === '' ? $message->getData() : base64_decode($encoded, true);
            $this->data = $decoded === false ? throw new \UnexpectedValueException('b64data is not base64') : $decoded;
        } else {
            $this->data = '';
        }
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
        return $this->data === '' ? null : json_decode($this->data, true, flags: JSON_THROW_ON_ERROR);
    }

    /**
     * What the application attached to the connection, hidden from the client; null when there is nothing.
     *
     * @throws \JsonException when it is not JSON
     */
    public function meta(): mixed
    {
        $meta = method_exists($this->message, 'getMeta') ? $this->message->getMeta() : '';

        return $meta === '' ? null : json_decode($meta, true, flags: JSON_THROW_ON_ERROR);
    }

    /** @return array<string, string> the labels that the application attached to the connection */
    public function labels(): array
    {
        return method_exists($this->message, 'getLabels') ? iterator_to_array($this->message->getLabels()) : [];
    }

    /** Reads the fields of one type of event. */
    protected function read(): void
    {
    }
}
