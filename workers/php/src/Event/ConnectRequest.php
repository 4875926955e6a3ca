<?php

declare(strict_types=1);

namespace Causeway\Worker\Event;

use Causeway\Worker\Request;

/** A client wants to connect. */
final class ConnectRequest extends Request
{
    /** @var list<string> The channels that the client asks for. */
    public readonly array $channels;

    protected function read(): void
    {
        $this->channels = iterator_to_array($this->message->getChannels());
    }
}
