<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/** Lists workers, and changes how many there are. All methods throw an {@see RpcException}. */
final class Informer
{
    private readonly Client $client;

    public function __construct(?Client $client = null)
    {
        $this->client = $client ?? Client::shared();
    }

    /** @return list<string> the names of the pools */
    public function list(): array
    {
        return $this->client->call('informer.List', true) ?? [];
    }

    /** @return list<WorkerState> the workers of a pool; none for a pool that does not exist */
    public function workers(string $plugin = 'centrifuge'): array
    {
        $found = $this->client->call('informer.Workers', $plugin)['workers'] ?? [];

        return array_map(static fn (array $worker): WorkerState => new WorkerState(
            pid: $worker['pid'],
            status: $worker['statusStr'],
            executions: $worker['numExecs'],
            created: $worker['created'],
            memory: $worker['memoryUsage'],
            cpuPercent: (float) $worker['CPUPercent'],
            command: $worker['command'],
        ), $found);
    }

    /** Has the pool one worker larger. */
    public function addWorker(string $plugin = 'centrifuge'): void
    {
        $this->client->call('informer.AddWorker', $plugin);
    }

    /** Has the pool one worker smaller; the last worker stays. */
    public function removeWorker(string $plugin = 'centrifuge'): void
    {
        $this->client->call('informer.RemoveWorker', $plugin);
    }
}
