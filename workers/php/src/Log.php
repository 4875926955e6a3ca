<?php

declare(strict_types=1);

namespace Causeway;

/**
 * What this package logs by itself: to standard error, which the server logs.
 *
 * @internal
 */
final class Log
{
    private const ENCODING = JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE;

    /** Bytes of a value. The server takes lines of up to 1 MiB, and of 64 KiB when many workers write longer ones. */
    private const MAX_VALUE = 16384;

    /** Whether the server keeps the level and the fields of a line. */
    public static function isStructured(): bool
    {
        return getenv('CAUSEWAY_POOL') !== false;
    }

    /**
     * Logs an error.
     *
     * @param array<string, string> $fields
     */
    public static function error(string $message, array $fields = [], string $details = ''): void
    {
        self::write('error', $message, $fields, $details);
    }

    /**
     * Logs a warning.
     *
     * @param array<string, string> $fields
     */
    public static function warning(string $message, array $fields = []): void
    {
        self::write('warn', $message, $fields);
    }

    /**
     * Causeway gets one line of JSON, of which it keeps the level and the fields, and then the details, which are for people. A terminal,
     * a test or RoadRunner gets the message and all that has more than one line.
     *
     * @param array<string, string> $fields
     */
    private static function write(string $level, string $message, array $fields, string $details = ''): void
    {
        if (self::isStructured()) {
            $record = array_map(self::shortened(...), ['level' => $level, 'msg' => $message, ...$fields]);
            $parts = [(string) json_encode($record, self::ENCODING), $details];
        } else {
            $parts = [$message, ...array_values(array_filter($fields, static fn (string $value): bool => str_contains($value, "\n"))), $details];
        }
        $text = implode('', array_map(static fn (string $part): string => $part === '' ? '' : rtrim($part) . "\n", $parts));
        try {
            // The application may have closed it, and the disk that it is on may be full: neither concerns the request.
            is_resource(STDERR) && @fwrite(STDERR, $text);
        } catch (\Throwable) {
            return;
        }
    }

    private static function shortened(string $value): string
    {
        $half = intdiv(self::MAX_VALUE, 2);

        return strlen($value) > self::MAX_VALUE ? substr($value, 0, $half) . ' ... ' . substr($value, -$half) : $value;
    }
}
