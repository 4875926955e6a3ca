<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/**
 * Writes into the bridge's log, on its channel "app". All methods throw an {@see RpcException}.
 *
 * Values of a context that are no strings are written as JSON.
 */
final class Logger
{
    private readonly Client $client;

    public function __construct(?Client $client = null)
    {
        $this->client = $client ?? Client::shared();
    }

    /** @param array<string, mixed> $context */
    public function error(string|\Stringable $message, array $context = []): void
    {
        $this->write('Error', $message, $context);
    }

    /** @param array<string, mixed> $context */
    public function warning(string|\Stringable $message, array $context = []): void
    {
        $this->write('Warning', $message, $context);
    }

    /** @param array<string, mixed> $context */
    public function info(string|\Stringable $message, array $context = []): void
    {
        $this->write('Info', $message, $context);
    }

    /** @param array<string, mixed> $context */
    public function debug(string|\Stringable $message, array $context = []): void
    {
        $this->write('Debug', $message, $context);
    }

    /**
     * Writes to the bridge's standard error as it is.
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

    /** Text that can be sent: a log line must not fail for a character. */
    private static function text(mixed $value): string
    {
        if ($value instanceof \Stringable) {
            $value = (string) $value;
        }
        $json = json_encode($value, JSON_INVALID_UTF8_SUBSTITUTE | JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE);

        return is_string($value) ? (string) json_decode((string) $json) : (string) $json;
    }
}
