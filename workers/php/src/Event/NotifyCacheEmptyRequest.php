<?php

declare(strict_types=1);

namespace Causeway\Worker\Event;

use Causeway\Worker\Request;

/** A cache channel has no publication. */
final class NotifyCacheEmptyRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    protected function read(): void
    {
        $this->channel = $this->text('getChannel');
    }
}
