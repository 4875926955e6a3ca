<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/** How a pool is: an HTTP status, 200 for well, and a text. */
final class PluginStatus
{
    public function __construct(public readonly int $code, public readonly string $message)
    {
    }
}
