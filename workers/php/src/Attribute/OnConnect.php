<?php

declare(strict_types=1);

namespace Causeway\Attribute;

use Causeway\Event;

/** The method, or the class with its method `handle`, handles connects of clients. */
#[\Attribute(\Attribute::TARGET_CLASS | \Attribute::TARGET_METHOD | \Attribute::IS_REPEATABLE)]
final class OnConnect extends On
{
    public function __construct()
    {
        parent::__construct(Event::Connect);
    }
}
