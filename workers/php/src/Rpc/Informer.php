<?php

declare(strict_types=1);

namespace Causeway\Rpc;

use Causeway\Fields;

/** Lists, adds and removes workers. All methods throw an {@see RpcException}. */
final class Informer
{
    public function __construct(private readonly Client $client)
    {
    }

    /** @return list<string> the names of the pools */
    public function list(): array
    {
        return array_values(Fields::strings($this->client->call('informer.List', true)));
    }

    /** @return list<WorkerState> the workers of a pool; empty if the pool does not exist */
    public function workers(string $plugin = 'centrifuge'): array
    {
        $found = Fields::of($this->client->call('informer.Workers', $plugin))->list('workers');

        return array_map(static fn (Fields $worker): WorkerState => new WorkerState(
            pid: $worker->int('pid'),
            status: $worker->string('statusStr'),
            executions: $worker->int('numExecs'),
            created: $worker->int('created'),
            memory: $worker->int('memoryUsage'),
            cpuPercent: $worker->float('CPUPercent'),
            command: $worker->string('command'),
        ), $found);
    }

    /** Adds one worker to the pool. */
    public function addWorker(string $plugin = 'centrifuge'): void
    {
        $this->client->call('informer.AddWorker', $plugin);
    }

    /** Removes one worker from the pool, except the last one. */
    public function removeWorker(string $plugin = 'centrifuge'): void
    {
        $this->client->call('informer.RemoveWorker', $plugin);
    }
}
