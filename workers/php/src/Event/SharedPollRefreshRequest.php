<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** Centrifugo polls the state of items for its clients. */
final class SharedPollRefreshRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    /** @var list<\Causeway\Proto\Proxy\SharedPollRefreshItem> the items to return: each has a key, and the version that Centrifugo knows */
    public readonly array $items;

    protected function read(): void
    {
        $this->channel = $this->message->getChannel();
        $this->items = iterator_to_array($this->message->getItems());
    }
}
