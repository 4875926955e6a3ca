<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/** A worker, as the server sees it. */
final class WorkerState
{
    /**
     * @param string $status such as ready, working or stopping
     * @param int $executions number of requests handled
     * @param int $created start time in Unix nanoseconds
     * @param int $memory resident memory in bytes
     */
    public function __construct(
        public readonly int $pid,
        public readonly string $status,
        public readonly int $executions,
        public readonly int $created,
        public readonly int $memory,
        public readonly float $cpuPercent,
        public readonly string $command,
    ) {
    }
}
