<?php

declare(strict_types=1);

namespace Causeway\Attribute;

use Causeway\Event;

/** The method, or the class with its method `handle`, handles channels that were occupied or vacated. */
#[\Attribute(\Attribute::TARGET_CLASS | \Attribute::TARGET_METHOD | \Attribute::IS_REPEATABLE)]
final class OnNotifyChannelState extends On
{
    public function __construct()
    {
        parent::__construct(Event::NotifyChannelState);
    }
}
