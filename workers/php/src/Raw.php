<?php

declare(strict_types=1);

namespace Causeway;

/** Bytes to send as they are, where a value would be encoded as JSON. */
final class Raw
{
    public function __construct(public readonly string $bytes)
    {
    }
}
