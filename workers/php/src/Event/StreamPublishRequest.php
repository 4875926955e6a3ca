<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** A client publishes to the stream of its bidirectional subscription. */
final class StreamPublishRequest extends Request
{
    /** The id of the stream, with which {@see \Causeway\Rpc\Streams} publishes to it and closes it. */
    public readonly string $stream;

    /** The channel. */
    public readonly string $channel;

    protected function read(): void
    {
        $this->stream = (string) $this->header('stream');
        $this->channel = $this->text('channel');
    }
}
