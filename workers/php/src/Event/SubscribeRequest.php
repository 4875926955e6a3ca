<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** A client subscribes to a channel. */
final class SubscribeRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    /** The client's subscription token. */
    public readonly string $token;

    protected function read(): void
    {
        $this->channel = $this->text('channel');
        $this->token = $this->text('token');
    }
}
