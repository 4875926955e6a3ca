<?php

declare(strict_types=1);

namespace Causeway\Symfony;

use Causeway\Event;

/** Says around which handlers an interceptor stands, and which of several is further out: the one with the higher priority. */
#[\Attribute(\Attribute::TARGET_CLASS | \Attribute::IS_REPEATABLE)]
final class AsInterceptor
{
    /** @param Event|null $event the type of event; by default all of them */
    public function __construct(public readonly ?Event $event = null, public readonly int $priority = 0)
    {
    }
}
