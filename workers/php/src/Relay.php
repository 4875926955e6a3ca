<?php

declare(strict_types=1);

namespace Causeway\Worker;

/** A byte channel to the supervisor: standard streams, TCP or a unix socket. */
final class Relay
{
    /**
     * @param resource $input
     * @param resource $output
     */
    public function __construct(private $input, private $output)
    {
        // Whoever reads takes all that is there; a buffer in between would only copy it, 8 KB at a time.
        stream_set_read_buffer($input, 0);
    }

    /**
     * Opens `pipes`, `tcp://host:port` or `unix://path`; the variable `RR_RELAY` says it by default.
     *
     * On `pipes`, whatever the application echoes goes to standard error from then on, so that it cannot stand between the frames.
     */
    public static function open(?string $address = null): self
    {
        $address ??= getenv('RR_RELAY') ?: 'pipes';
        if ($address === 'pipes') {
            self::guardOutput();

            return new self(STDIN, STDOUT);
        }
        if (!preg_match('~^(tcp|unix)://.~', $address)) {
            throw new \InvalidArgumentException("expected pipes, tcp://host:port or unix://path, found \"$address\"");
        }
        $connection = @stream_socket_client($address, $code, $message, 60);
        if ($connection === false) {
            throw new \RuntimeException("cannot connect to $address: $message");
        }
        stream_set_timeout($connection, PHP_INT_MAX >> 32);

        return new self($connection, $connection);
    }

    /** What is there, waiting for the first byte; an empty string at the end. */
    public function read(): string
    {
        $chunk = @fread($this->input, 65536);

        return $chunk === false ? '' : $chunk;
    }

    /**
     * Writes all of `$bytes`.
     *
     * @throws \RuntimeException when the supervisor is gone
     */
    public function write(string $bytes): void
    {
        while ($bytes !== '') {
            $written = @fwrite($this->output, $bytes);
            if ($written === false || $written === 0) {
                throw new \RuntimeException('the supervisor has hung up');
            }
            $bytes = substr($bytes, $written);
        }
        fflush($this->output);
    }

    private static function guardOutput(): void
    {
        ini_set('display_errors', 'stderr');
        ob_start(static function (string $printed): string {
            fwrite(STDERR, $printed);

            return '';
        }, 1);
    }
}
