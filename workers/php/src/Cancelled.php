<?php

declare(strict_types=1);

namespace Causeway;

/** The answer to this request is no longer awaited. Thrown where a handler waits. */
final class Cancelled extends \Exception
{
    /** @param string $reason why: `deadline`, `gone` (the caller has disconnected), `exec_ttl` or `stop` (the worker leaves) */
    public function __construct(public readonly string $reason)
    {
        parent::__construct("cancelled: $reason");
    }
}
