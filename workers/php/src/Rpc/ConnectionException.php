<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/** The connection failed, was lost during a call, or carried something other than the reply. */
class ConnectionException extends RpcException
{
    /** @param bool $mayHaveRun true if the server may have run the call, false if it certainly has not */
    public function __construct(string $message, public readonly bool $mayHaveRun, ?\Throwable $previous = null)
    {
        parent::__construct($message, 0, $previous);
    }
}
