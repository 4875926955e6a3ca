<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** A subscription is about to expire. */
final class SubRefreshRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    protected function read(): void
    {
        $this->channel = $this->text('channel');
    }
}
