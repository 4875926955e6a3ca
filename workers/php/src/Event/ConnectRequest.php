<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** A client connects. */
final class ConnectRequest extends Request
{
    /** The name of the client's application. */
    public readonly string $name;

    /** The version of the client's application. */
    public readonly string $version;

    /** @var list<string> the channels that the client asks to be subscribed to */
    public readonly array $channels;

    protected function read(): void
    {
        $this->name = $this->text('name');
        $this->version = $this->text('version');
        /** @var list<string> $channels */
        $channels = $this->values('channels');
        $this->channels = $channels;
    }
}
