<?php

declare(strict_types=1);

namespace Causeway;

/** A byte channel to the server: standard streams, TCP or a unix socket. */
final class Relay
{
    /** Connect timeout in seconds. */
    private const PATIENCE = 60.0;

    /** @var list<resource|false> the standard streams that the application has instead of the relay */
    private static array $standard = [];

    /**
     * @param resource $input
     * @param resource $output
     */
    public function __construct(public readonly mixed $input, public readonly mixed $output)
    {
        // Reads take everything there is; a buffer in between would only copy it, 8 KB at a time.
        stream_set_read_buffer($input, 0);
    }

    /**
     * Opens `pipes`, `tcp://host:port` or `unix://path`, by default what the environment variable `RR_RELAY` says.
     *
     * On `pipes`, the application's output goes to standard error from then on, so that it cannot get between frames. The constants
     * `STDIN` and `STDOUT` are closed.
     *
     * @throws \InvalidArgumentException when the address is invalid
     * @throws \RuntimeException when the connection fails
     */
    public static function open(?string $address = null): self
    {
        $address ??= getenv('RR_RELAY') ?: 'pipes';
        if ($address === 'pipes') {
            return self::pipes();
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

    /** Whether there are bytes to read, or the end of the stream. */
    public function isReadable(): bool
    {
        $read = [$this->input];
        $none = [];

        return @stream_select($read, $none, $none, 0) === 1;
    }

    /** From now on, {@see self::tryRead()} and {@see self::tryWrite()} are to be used. */
    public function unblock(): void
    {
        stream_set_blocking($this->input, false);
        stream_set_blocking($this->output, false);
        // A buffer would split a write into pieces of 8 KB.
        stream_set_write_buffer($this->output, 0);
    }

    /** From now on, {@see self::read()} and {@see self::write()} are to be used again. */
    public function block(): void
    {
        stream_set_blocking($this->input, true);
        stream_set_blocking($this->output, true);
    }

    /** Reads what has arrived; returns null at the end of the stream. */
    public function tryRead(): ?string
    {
        $chunk = @fread($this->input, 65536);

        return ($chunk === false || $chunk === '') && feof($this->input) ? null : (string) $chunk;
    }

    /** Writes what the server takes now, and returns how many bytes that was; null when it has closed the relay. */
    public function tryWrite(string $bytes): ?int
    {
        $written = @fwrite($this->output, $bytes);

        return $written === false ? null : $written;
    }

    /** Standard input and output, out of reach of the application and its child processes. */
    private static function pipes(): self
    {
        $input = fopen('php://fd/0', 'r');
        $output = fopen('php://fd/1', 'w');
        if ($input === false || $output === false) {
            throw new \RuntimeException('standard input or output is closed');
        }
        // A new descriptor gets the lowest free number, which is the one just closed.
        fclose(STDOUT);
        self::$standard[] = fopen('php://fd/2', 'w');
        fclose(STDIN);
        self::$standard[] = fopen('/dev/null', 'r');
        // Without a log file, PHP logs its messages to standard error anyway.
        ini_set('display_errors', ini_get('log_errors') && !ini_get('error_log') ? '0' : 'stderr');

        return new self($input, $output);
    }
}
