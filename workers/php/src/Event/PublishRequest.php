<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** A client publishes to a channel. */
final class PublishRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    protected function read(): void
    {
        $this->channel = $this->text('channel');
    }
}
