<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/** The health of a pool: an HTTP status code, 200 if it is healthy, and a text. */
final class PluginStatus
{
    public function __construct(public readonly int $code, public readonly string $message)
    {
    }
}
