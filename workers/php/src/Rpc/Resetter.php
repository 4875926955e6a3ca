<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/** Replaces workers. All methods throw an {@see RpcException}. */
final class Resetter
{
    private readonly Client $client;

    public function __construct(?Client $client = null)
    {
        $this->client = $client ?? Client::shared();
    }

    /** @return list<string> the names of the pools */
    public function list(): array
    {
        return $this->client->call('resetter.List', true) ?? [];
    }

    /**
     * Replaces all workers of a pool, and waits for the new ones.
     *
     * RoadRunner also waits for the old ones to end: do not call it from a worker of that pool there.
     *
     * @param float $timeout seconds
     */
    public function reset(string $plugin = 'centrifuge', float $timeout = 300.0): void
    {
        $this->client->call('resetter.Reset', $plugin, $timeout);
    }
}
