<?php

declare(strict_types=1);

namespace Causeway\Worker\Event;

use Causeway\Worker\Request;

/** A client wants to publish into a channel. */
final class PublishRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    protected function read(): void
    {
        $this->channel = $this->text('getChannel');
    }
}
