<?php

declare(strict_types=1);

namespace Causeway\Attribute;

use Causeway\Event;

/** The method, or the class with its method `handle`, handles subscribes of clients. */
#[\Attribute(\Attribute::TARGET_CLASS | \Attribute::TARGET_METHOD | \Attribute::IS_REPEATABLE)]
final class OnSubscribe extends On
{
    /** @param string $channel a channel, or a pattern such as `chat:*` */
    public function __construct(string $channel = '*')
    {
        parent::__construct(Event::Subscribe, $channel);
    }
}
