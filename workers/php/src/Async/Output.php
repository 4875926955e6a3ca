<?php

declare(strict_types=1);

namespace Causeway\Async;

use Causeway\Relay;

/**
 * Frames on their way to the server. What is ready at the same time is one write, which never blocks.
 *
 * @internal
 */
final class Output
{
    /** The most bytes of one write. */
    private const CHUNK = 262144;

    private string $bytes = '';

    /** What is written of `$bytes`. */
    private int $offset = 0;

    private bool $isPlanned = false;

    /** The callback that waits for the relay, while it takes no more. */
    private ?string $blocked = null;

    private readonly int $pid;

    /** @param \Closure(): void $closed called when the server has closed the relay */
    public function __construct(private readonly Relay $relay, private readonly Loop $loop, private readonly \Closure $closed)
    {
        $this->pid = (int) getmypid();
    }

    /** Writes these bytes together with all others of this turn of the loop. */
    public function add(string $bytes): void
    {
        $this->bytes .= $bytes;
        if (!$this->isPlanned) {
            $this->isPlanned = true;
            $this->loop->defer($this->flush(...));
        }
    }

    /** Leaves the next write to the caller, who calls {@see self::flush()} soon. */
    public function hold(): void
    {
        $this->isPlanned = true;
    }

    public function flush(): void
    {
        $this->isPlanned = false;
        if ($this->blocked === null) {
            $this->write();
        }
    }

    /** Writes everything before the process ends. */
    public function finish(): void
    {
        $bytes = $this->isOwn() ? substr($this->bytes, $this->offset) : '';
        $this->done();
        if ($bytes === '') {
            return;
        }
        try {
            $this->relay->block();
            $this->relay->write($bytes);
        } catch (\RuntimeException) {
            // The server is gone, and needs no answers.
        }
    }

    private function write(): void
    {
        while ($this->offset < strlen($this->bytes) && $this->isOwn()) {
            $rest = strlen($this->bytes) - $this->offset;
            $piece = $this->offset === 0 && $rest <= self::CHUNK ? $this->bytes : substr($this->bytes, $this->offset, self::CHUNK);
            $written = $this->relay->tryWrite($piece);
            if ($written === 0) {
                $this->blocked ??= $this->loop->onWritable($this->relay->output, $this->write(...));

                return;
            }
            if ($written === null) {
                $this->done();
                ($this->closed)();

                return;
            }
            $this->offset += $written;
        }
        $this->done();
    }

    /** In a process that a handler has forked, the bytes are the parent's. */
    private function isOwn(): bool
    {
        return getmypid() === $this->pid;
    }

    private function done(): void
    {
        [$this->bytes, $this->offset] = ['', 0];
        if ($this->blocked !== null) {
            $this->loop->cancel($this->blocked);
            $this->blocked = null;
        }
    }
}
