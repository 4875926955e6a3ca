<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/** The server answered with an error: an unknown method, an invalid argument, or an error of the method. */
class ServerException extends RpcException
{
    /** The exception for an error text. */
    public static function fromText(string $text): self
    {
        return preg_match('~\Arpc error: code = (\S+) desc = (.*)\z~s', $text, $parts) === 1
            ? new GrpcException($parts[1], $parts[2])
            : new self($text);
    }
}
