<?php

declare(strict_types=1);

namespace Causeway\Worker\Event;

use Causeway\Worker\Request;

/** Centrifugo asks for the state of what clients poll together. */
final class SharedPollRefreshRequest extends Request
{
    /** The channel. */
    public readonly string $channel;

    /** @var list<\Causeway\Proto\Proxy\SharedPollRefreshItem> What is asked for. */
    public readonly array $items;

    protected function read(): void
    {
        $this->channel = $this->text('getChannel');
        $this->items = iterator_to_array($this->message->getItems());
    }
}
