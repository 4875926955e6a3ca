<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** A client sets an entry of a map channel. */
final class MapPublishRequest extends Request
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
