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
     * Writes the message to the server's standard error, unformatted.
     *
     * @param array<string, mixed> $context
     */
    public function log(string|\Stringable $message, array $context = []): void
    {
        $this->write('Log', $message, $context);
    }

    /** @param array<string, mixed> $context */
    private function write(string $level, string|\Stringable $message, array $context): void
    {
        if ($context === []) {
            $this->client->call("app.$level", self::text((string) $message));

            return;
        }
        $attributes = [];
        foreach ($context as $key => $value) {
            $attributes[] = ['key' => self::text((string) $key), 'value' => self::text($value)];
        }
        $this->client->call("app.{$level}WithContext", ['message' => self::text((string) $message), 'log_attrs' => $attributes]);
    }

    /** Valid UTF-8 for any value: a bad character must not cost the log line. */
    private static function text(mixed $value): string
    {
        if ($value instanceof \Stringable) {
            $value = (string) $value;
        }
        $json = json_encode($value, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);

        return is_string($value) ? (string) json_decode((string) $json) : (string) $json;
    }
}
