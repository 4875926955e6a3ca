<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** A cache channel has no publication. */
final class NotifyCacheEmptyRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    protected function read(): void
    {
        $this->channel = $this->text('channel');
    }
}
