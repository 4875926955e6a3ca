<?php

declare(strict_types=1);

namespace Causeway\Worker\Event;

use Causeway\Worker\Request;

/** Channels were occupied or vacated. */
final class NotifyChannelStateRequest extends Request
{
    /** @var list<\Causeway\Proto\Proxy\ChannelEvent> What happened. */
    public readonly array $events;

    protected function read(): void
    {
        $this->events = iterator_to_array($this->message->getEvents());
    }
}
