<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/**
 * Writes to the server's log, on the channel "app". All methods throw an {@see RpcException}.
 *
 * Values of a context are strings, or are logged as JSON.
 */
final class Logger
{
    public function __construct(private readonly Client $client)
    {
    }

    /**
     * Logs at error level.
     *
     * @param array<string, mixed> $context
     */
    public function error(string|\Stringable $message, array $context = []): void
    {
        $this->write('Error', $message, $context);
    }

    /**
     * Logs at warning level.
     *
     * @param array<string, mixed> $context
     */
    public function warning(string|\Stringable $message, array $context = []): void
    {
        $this->write('Warning', $message, $context);
    }

    /**
     * Logs at info level.
     *
     * @param array<string, mixed> $context
     */
    public function info(string|\Stringable $message, array $context = []): void
    {
        $this->write('Info', $message, $context);
    }

    /**
     * Logs at debug level.
     *
     * @param array<string, mixed> $context
     */
    public function debug(string|\Stringable $message, array $context = []): void
    {
        $this->write('Debug', $message, $context);
    }

    /**
     * Writes the message to the server's standard error, unformatted, as a line of its own.
     *
     * @param array<string, mixed> $context
     */
    public function log(string|\Stringable $message, array $context = []): void
    {
        $message = (string) $message;
        $this->write('Log', $message, $context, $context === [] && str_ends_with($message, "\n") ? '' : "\n");
    }

    /** @param array<string, mixed> $context */
    private function write(string $level, string|\Stringable $message, array $context, string $end = ''): void
    {
        if ($context === []) {
            $this->client->call("app.$level", self::text((string) $message) . $end);

            return;
        }
        $attributes = [];
        foreach ($context as $key => $value) {
            $attributes[] = ['key' => self::text((string) $key), 'value' => self::text($value)];
        }
        $attributes[count($attributes) - 1]['value'] .= $end;
        $this->client->call("app.{$level}WithContext", ['message' => self::text((string) $message), 'log_attrs' => $attributes]);
    }

    /** Valid UTF-8 for any value: a value that cannot be encoded must not cost the log line. */
    private static function text(mixed $value): string
    {
        if ($value instanceof \Stringable) {
            $value = (string) $value;
        }
        $flags = JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE;
        try {
            $json = json_encode($value, $flags);
        } catch (\Throwable) {
            return get_debug_type($value);
        }

        $decoded = is_string($value) ? json_decode((string) $json) : null;

        return is_string($decoded) ? $decoded : (string) $json;
    }
}
