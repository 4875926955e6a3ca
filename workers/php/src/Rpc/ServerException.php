<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/** The bridge answered with an error: an unknown method, a wrong argument, or what the method has to say. */
class ServerException extends RpcException
{
    /** The error that a text tells of. */
    public static function fromText(string $text): self
    {
        return preg_match('~\Arpc error: code = (\S+) desc = (.*)\z~s', $text, $parts) === 1
            ? new GrpcException($parts[1], $parts[2])
            : new self($text);
    }
}
