<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** Channels were occupied or vacated. */
final class NotifyChannelStateRequest extends Request
{
    /**
     * @var list<\Causeway\Proto\Proxy\ChannelEvent> what happened: each event has a time, a channel and a type; with JSON, objects with the
     *                                                same getters
     */
    public readonly array $events;

    protected function read(): void
    {
        /** @var list<\Causeway\Proto\Proxy\ChannelEvent> $events */
        $events = $this->values('events');
        $this->events = $events;
    }
}
