<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/** A lock with a token, which is larger than that of each earlier lock of the same resource. */
final class FencedLock
{
    public function __construct(public readonly string $id, public readonly int $token)
    {
    }
}
