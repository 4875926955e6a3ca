<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** A client removes an entry from a map channel. */
final class MapRemoveRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    /** The key of the entry. */
    public readonly string $key;

    protected function read(): void
    {
        $this->channel = $this->text('channel');
        $this->key = $this->text('key');
    }
}
