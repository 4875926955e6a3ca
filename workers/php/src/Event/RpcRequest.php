<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** A client calls a method. */
final class RpcRequest extends Request
{
    /** The name of the method. */
    public readonly string $method;

    protected function read(): void
    {
        $this->method = $this->text('method');
    }
}
