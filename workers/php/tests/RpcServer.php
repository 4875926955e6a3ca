<?php

declare(strict_types=1);

namespace Causeway\Tests;

/**
 * The server's side of `rpc.listen`: a process that runs one function per connection, in order.
 *
 * A connection is closed when its function returns.
 */
final class RpcServer
{
    /** Seconds. */
    public const PATIENCE = 20;

    public readonly string $address;

    private readonly int $pid;

    /** @var resource */
    private $reports;

    /** @var list<string> */
    private array $seen = [];

    private bool $finished = false;

    /** @param list<callable(Peer): mixed> $parts */
    public function __construct(array $parts, ?string $path = null)
    {
        $listener = stream_socket_server($path === null ? 'tcp://127.0.0.1:0' : "unix://$path");
        assert(is_resource($listener));
        $this->address = $path === null ? 'tcp://' . stream_socket_get_name($listener, false) : "unix://$path";
        [$this->reports, $reporter] = (array) stream_socket_pair(STREAM_PF_UNIX, STREAM_SOCK_STREAM, 0);
        stream_set_timeout($this->reports, self::PATIENCE);
        $this->pid = pcntl_fork();
        if ($this->pid === 0) {
            posix_setpgid(0, 0);
            fclose($this->reports);
            self::serve($listener, $parts, $reporter);
        }
        posix_setpgid($this->pid, $this->pid);
        fclose($reporter);
        fclose($listener);
    }

    public function __destruct()
    {
        $this->kill();
    }

    /** Waits until a part has returned and its connection is closed. */
    public function wait(int $part): void
    {
        while (!in_array("ended $part", $this->seen, true)) {
            $this->report() ?? throw new \RuntimeException("part $part did not end");
        }
    }

    /**
     * Waits until all parts have returned.
     *
     * @throws \RuntimeException when one of them failed
     */
    public function finish(): void
    {
        while ($this->report() !== null) {
        }
        $this->kill();
    }

    /** The next event; null at the end. */
    private function report(): ?string
    {
        $line = fgets($this->reports);
        if ($line === false) {
            if (!feof($this->reports)) {
                throw new \RuntimeException('no client connected');
            }

            return null;
        }
        $report = json_decode($line, true, flags: JSON_THROW_ON_ERROR);
        if (isset($report['error'])) {
            throw new \RuntimeException("the server failed: {$report['error']}");
        }

        return $this->seen[] = "ended {$report['ended']}";
    }

    private function kill(): void
    {
        if (!$this->finished) {
            $this->finished = true;
            posix_kill(-$this->pid, SIGKILL);
            pcntl_waitpid($this->pid, $status);
        }
    }

    /**
     * The server process: forks for each connection.
     *
     * @param resource $listener
     * @param list<callable(Peer): mixed> $parts
     * @param resource $reporter
     */
    private static function serve($listener, array $parts, $reporter): never
    {
        foreach ($parts as $number => $part) {
            $connection = @stream_socket_accept($listener, self::PATIENCE);
            if ($connection === false) {
                fwrite($reporter, json_encode(['error' => "no client connected for part $number"]) . "\n");
                break;
            }
            if (pcntl_fork() === 0) {
                fclose($listener);
                self::play($part, $number, $connection, $reporter);
            }
            fclose($connection);
        }
        while (pcntl_wait($status) > 0) {
        }
        self::leave();
    }

    /**
     * @param callable(Peer): mixed $part
     * @param resource $connection
     * @param resource $reporter
     */
    private static function play(callable $part, int $number, $connection, $reporter): never
    {
        try {
            $part(new Peer($connection));
            $report = ['ended' => $number];
        } catch (\Throwable $error) {
            $report = ['error' => "part $number: $error"];
        }
        // Copies in other processes are closed. The client sees the end before the test reads the report.
        stream_socket_shutdown($connection, STREAM_SHUT_RDWR);
        fclose($connection);
        fwrite($reporter, json_encode($report, JSON_INVALID_UTF8_SUBSTITUTE) . "\n");
        self::leave();
    }

    /** Exits without the shutdown functions of the test runner. */
    private static function leave(): never
    {
        posix_kill((int) getmypid(), SIGKILL);
        exit(1);
    }
}
