<?php

declare(strict_types=1);

namespace Causeway;

/** What a client published to the stream of its bidirectional subscription. */
final class Message
{
    /** @param string $data as it was sent */
    public function __construct(public readonly string $data)
    {
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
}
