<?php

declare(strict_types=1);

namespace Causeway\Attribute;

use Causeway\Event;

/** The method, or the class with its method `handle`, handles calls of clients. */
#[\Attribute(\Attribute::TARGET_CLASS | \Attribute::TARGET_METHOD | \Attribute::IS_REPEATABLE)]
final class OnRpc extends On
{
    /** @param string $method a method, or a pattern such as `users.*` */
    public function __construct(string $method = '*')
    {
        parent::__construct(Event::Rpc, $method);
    }
}
