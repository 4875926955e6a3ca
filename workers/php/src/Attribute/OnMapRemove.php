<?php

declare(strict_types=1);

namespace Causeway\Attribute;

use Causeway\Event;

/** The method, or the class with its method `handle`, handles entries that clients remove from map channels. */
#[\Attribute(\Attribute::TARGET_CLASS | \Attribute::TARGET_METHOD | \Attribute::IS_REPEATABLE)]
final class OnMapRemove extends On
{
    /** @param string $channel a channel, or a pattern such as `chat:*` */
    public function __construct(string $channel = '*')
    {
        parent::__construct(Event::MapRemove, $channel);
    }
}
