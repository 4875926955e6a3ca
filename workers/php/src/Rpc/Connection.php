<?php

declare(strict_types=1);

namespace Causeway\Rpc;

use Causeway\Async;
use Causeway\Frame;
use Causeway\FrameException;
use Causeway\Socket;

/**
 * One connection, used by one call at a time.
 *
 * @internal
 */
final class Connection
{
    private const CHUNK = 65536;

    /** Number of calls made. */
    public int $calls = 0;

    /** @var resource */
    private $stream;

    private readonly int $pid;

    private int $sequence = 0;

    private bool $surplus = false;

    /**
     * @throws ConnectionException
     * @throws \InvalidArgumentException when the address is invalid
     */
    public function __construct(string $address, float $deadline)
    {
        $this->pid = (int) getmypid();
        $stream = Socket::connect($address, max($deadline - self::now(), 0.001));
        if (is_string($stream)) {
            throw self::now() >= $deadline - 0.01
                ? new TimeoutException("cannot connect to $address in time", false)
                : new ConnectionException("cannot connect to $address: $stream", false);
        }
        // select() takes no descriptors from 1024 on; others are ready to write by now.
        $write = [$stream];
        $none = [];
        if (@stream_select($none, $write, $none, 0) === false) {
            throw new ConnectionException("cannot wait for $address: this process has too many open files", false);
        }
        // Timeouts are kept by waiting for the stream; reads and writes must not block then.
        stream_set_blocking($stream, false);
        stream_set_chunk_size($stream, self::CHUNK);
        $this->stream = $stream;
    }

    /** Seconds of a monotonic clock. */
    public static function now(): float
    {
        return hrtime(true) / 1e9;
    }

    /** Whether this process opened the connection, the server has not closed it, and no unexpected bytes have arrived. */
    public function isUsable(): bool
    {
        return !$this->surplus && $this->pid === getmypid() && !self::wait($this->stream, null, 0);
    }

    /**
     * Sends a request and returns its reply, which may be an error.
     *
     * @throws ConnectionException
     */
    public function exchange(string $method, string $argument, int $codec, float $deadline): Frame
    {
        ++$this->calls;
        $this->sequence = $this->sequence % 0xFFFFFFFF + 1;
        $options = [$this->sequence, strlen($method)];
        $this->send((new Frame($method . $argument, $codec, $options))->encode(), $method, $deadline);
        $reply = $this->receive($method, $deadline);
        if ($reply->options !== $options || !str_starts_with($reply->payload, $method)) {
            $found = implode(', ', $reply->options);
            throw new ConnectionException("received something other than the reply to call {$options[0]} of $method: options [$found]", true);
        }

        return new Frame(substr($reply->payload, strlen($method)), $reply->flags, $reply->options);
    }

    public function close(): void
    {
        fclose($this->stream);
    }

    private function send(string $request, string $method, float $deadline): void
    {
        // On an error here the server has not received the whole request, so it has not run it.
        for ($offset = 0; $offset < strlen($request);) {
            if (!self::wait(null, $this->stream, $deadline - self::now())) {
                throw new TimeoutException("$method could not be sent in time", false);
            }
            $written = @fwrite($this->stream, substr($request, $offset, self::CHUNK));
            if ($written === false) {
                $reason = error_get_last()['message'] ?? 'the server closed the connection';
                throw new ConnectionException("$method could not be sent: $reason", false);
            }
            $offset += $written;
        }
    }

    private function receive(string $method, float $deadline): Frame
    {
        $buffer = '';
        try {
            $end = 0;
            while (($reply = Frame::decode($buffer, $end)) === null) {
                if (!self::wait($this->stream, null, $deadline - self::now())) {
                    throw new TimeoutException("$method was not answered in time", true);
                }
                $chunk = @fread($this->stream, self::CHUNK);
                if (($chunk === false || $chunk === '') && feof($this->stream)) {
                    throw new ConnectionException("the server closed the connection before it answered $method", true);
                }
                $buffer .= $chunk;
            }
        } catch (FrameException $error) {
            throw new ConnectionException("invalid reply to $method: {$error->getMessage()}", true, $error);
        }
        $this->surplus = $end !== strlen($buffer);

        return $reply;
    }

    /**
     * Waits until a stream is ready; returns false after `$seconds`.
     *
     * @param resource|null $reading
     * @param resource|null $writing
     */
    private static function wait($reading, $writing, float $seconds): bool
    {
        if ($seconds <= 0 || !Async::isRunning()) {
            return self::select($reading, $writing, $seconds);
        }

        return self::select($reading, $writing, 0) || Async::await($reading, $writing, $seconds);
    }

    /**
     * @param resource|null $reading
     * @param resource|null $writing
     */
    private static function select($reading, $writing, float $seconds): bool
    {
        $deadline = self::now() + $seconds;
        while (true) {
            $read = $reading === null ? [] : [$reading];
            $write = $writing === null ? [] : [$writing];
            $except = [];
            $left = max($deadline - self::now(), 0);
            $ready = @stream_select($read, $write, $except, (int) $left, (int) (fmod($left, 1) * 1e6));
            // A signal interrupts the wait, which counts as a failure.
            if ($ready !== false || $left <= 0) {
                return $ready !== false && $ready > 0;
            }
        }
    }
}
