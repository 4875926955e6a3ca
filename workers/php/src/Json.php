<?php

declare(strict_types=1);

namespace Causeway;

/**
 * JSON on the wire.
 *
 * @internal
 */
final class Json
{
    /** Fields of Centrifugo's messages that carry JSON, in both spellings. */
    public const FIELDS = [
        'data' => true, 'info' => true, 'meta' => true,
        'streamData' => true, 'stream_data' => true, 'prevData' => true, 'prev_data' => true,
    ];

    /**
     * Encodes any value but {@see Raw}, whose bytes are returned as they are.
     *
     * @throws \JsonException when JSON cannot represent the value
     */
    public static function encode(mixed $value): string
    {
        if ($value instanceof Raw) {
            return $value->bytes;
        }

        return json_encode($value, JSON_THROW_ON_ERROR | JSON_PRESERVE_ZERO_FRACTION | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);
    }
}
