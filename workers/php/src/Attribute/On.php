<?php

declare(strict_types=1);

namespace Causeway\Attribute;

use Causeway\Event;

/** What all attributes of handlers have in common. {@see \Causeway\App::services()} looks for them. */
abstract class On
{
    /** @param string $pattern the methods or channels that the handler takes, see {@see \Causeway\App} */
    public function __construct(public readonly Event $event, public readonly string $pattern = '*')
    {
    }
}
