<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** Centrifugo polls the state of items for its clients. */
final class SharedPollRefreshRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    /**
     * @var list<\Causeway\Proto\Proxy\SharedPollRefreshItem> the items to return: each has a key, and the version that Centrifugo knows; with
     *                                                         JSON, objects with the same getters
     */
    public readonly array $items;

    protected function read(): void
    {
        $this->channel = $this->text('channel');
        /** @var list<\Causeway\Proto\Proxy\SharedPollRefreshItem> $items */
        $items = $this->values('items');
        $this->items = $items;
    }
}
