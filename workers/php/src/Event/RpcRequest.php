<?php

declare(strict_types=1);

namespace Causeway\Worker\Event;

use Causeway\Worker\Request;

/** A client calls a method. */
final class RpcRequest extends Request
{
    /** The method's name. */
    public readonly string $method;

    protected function read(): void
    {
        $this->method = $this->text('getMethod');
    }
}
