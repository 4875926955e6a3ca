<?php

declare(strict_types=1);

namespace Causeway\Worker\Event;

use Causeway\Worker\Request;

/** A client wants to subscribe to a channel. */
final class SubscribeRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    /** The subscription token that the client sent. */
    public readonly string $token;

    protected function read(): void
    {
        $this->channel = $this->text('getChannel');
        $this->token = $this->text('getToken');
    }
}
