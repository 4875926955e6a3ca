<?php

declare(strict_types=1);

namespace Causeway\Worker;

/** Bytes that are passed on as they are, where JSON is expected otherwise. */
final class Raw
{
    public function __construct(public readonly string $bytes)
    {
    }
}
