<?php

declare(strict_types=1);

namespace Causeway\Worker;

/**
 * JSON as it goes over the wire.
 *
 * @internal
 */
final class Json
{
    /**
     * Any value as JSON, and {@see Raw} as it is.
     *
     * @throws \JsonException when JSON cannot hold it
     */
    public static function encode(mixed $value, int $flags = 0): string
    {
        if ($value instanceof Raw) {
            return $value->bytes;
        }

        return json_encode($value, $flags | JSON_THROW_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
    }
}
