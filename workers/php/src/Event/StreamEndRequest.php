<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** The stream of a subscription has ended. */
final class StreamEndRequest extends Request
{
    /** The id of the stream, with which {@see \Causeway\Rpc\Streams} publishes to it and closes it. */
    public readonly string $stream;

    /** The channel. */
    public readonly string $channel;

    /** The client's subscription token. */
    public readonly string $token;

    protected function read(): void
    {
        $this->stream = (string) $this->header('stream');
        $this->channel = $this->text('channel');
        $this->token = $this->text('token');
    }
}
