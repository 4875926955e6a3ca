<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/** What the bridge knows of a worker. */
final class WorkerState
{
    /**
     * @param string $status ready, working, stopping and so on
     * @param int $executions how many requests it has handled
     * @param int $created when it was started, in Unix nanoseconds
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
