<?php

declare(strict_types=1);

namespace Causeway;

/** A byte channel to the server: standard streams, TCP or a unix socket. */
final class Relay
{
    /** Seconds to connect in. */
    private const PATIENCE = 60.0;

    /**
     * @param resource $input
     * @param resource $output
     */
    public function __construct(private $input, private $output)
    {
        // Reads take everything there is; a buffer in between would only copy it, 8 KB at a time.
        stream_set_read_buffer($input, 0);
    }

    /**
     * Opens `pipes`, `tcp://host:port` or `unix://path`, by default what the environment variable `RR_RELAY` says.
     *
     * On `pipes`, the application's output goes to standard error from then on, so that it cannot get between frames.
     *
     * @throws \InvalidArgumentException when the address is invalid
     * @throws \RuntimeException when the connection fails
     */
    public static function open(?string $address = null): self
    {
        $address ??= getenv('RR_RELAY') ?: 'pipes';
        if ($address === 'pipes') {
            self::redirectOutput();

            return new self(STDIN, STDOUT);
        }
        $connection = Socket::connect($address, self::PATIENCE);
        if (is_string($connection)) {
            throw new \RuntimeException("cannot connect to $address: $connection");
        }
        stream_set_timeout($connection, PHP_INT_MAX >> 32);

        return new self($connection, $connection);
    }

    /** Waits for bytes and returns them; an empty string at the end of the stream. */
    public function read(): string
    {
        $chunk = @fread($this->input, 65536);

        return $chunk === false ? '' : $chunk;
    }

    /**
     * Writes all of `$bytes`.
     *
     * @throws \RuntimeException when the server has closed the relay
     */
    public function write(string $bytes): void
    {
        while ($bytes !== '') {
            $written = @fwrite($this->output, $bytes);
            if ($written === false || $written === 0) {
                throw new \RuntimeException('the server has closed the relay');
            }
            $bytes = substr($bytes, $written);
        }
        fflush($this->output);
    }

    private static function redirectOutput(): void
    {
        // Without a log file, PHP logs its messages to standard error anyway.
        ini_set('display_errors', ini_get('log_errors') && !ini_get('error_log') ? '0' : 'stderr');
        ob_start(static function (string $printed): string {
            fwrite(STDERR, $printed);

            return '';
        }, 1);
    }
}
