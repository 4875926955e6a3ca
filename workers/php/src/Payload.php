<?php

declare(strict_types=1);

namespace Causeway\Worker;

/** A request: what it is about, and its message. */
final class Payload
{
    public function __construct(public readonly string $context, public readonly string $body)
    {
    }
}
