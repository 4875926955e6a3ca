<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/** There is no connection, it was lost in the middle of a call, or what came back was no reply to it. */
class ConnectionException extends RpcException
{
    /** @param bool $mayHaveRun whether the call was carried out, perhaps; else it certainly was not */
    public function __construct(string $message, public readonly bool $mayHaveRun, ?\Throwable $previous = null)
    {
        parent::__construct($message, 0, $previous);
    }
}
