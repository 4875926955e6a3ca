<?php

declare(strict_types=1);

namespace Causeway\Worker\Event;

use Causeway\Worker\Request;

/** A client wants to remove an entry of a map channel. */
final class MapRemoveRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    /** The entry's key. */
    public readonly string $key;

    protected function read(): void
    {
        $this->channel = $this->text('getChannel');
        $this->key = $this->text('getKey');
    }
}
