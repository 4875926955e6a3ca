<?php

declare(strict_types=1);

namespace Causeway;

/** Bytes to send as they are, instead of a value that would be encoded as JSON. They cannot be a part of such a value. */
final class Raw implements \JsonSerializable
{
    public function __construct(public readonly string $bytes)
    {
    }

    /** @internal */
    public function jsonSerialize(): never
    {
        throw new \LogicException('a value that is encoded as JSON cannot contain a Raw');
    }
}
