<?php

declare(strict_types=1);

namespace Causeway\Rpc;

use Causeway\Fields;

/** Replaces workers. All methods throw an {@see RpcException}. */
final class Resetter
{
    public function __construct(private readonly Client $client)
    {
    }

    /** @return list<string> the names of the pools */
    public function list(): array
    {
        return array_values(Fields::strings($this->client->call('resetter.List', true)));
    }

    /**
     * Replaces all workers of a pool and waits until the new ones are ready.
     *
     * RoadRunner also waits for the old workers to exit: behind it, do not call this from a worker of the same pool.
     *
     * @param float $timeout seconds
     */
    public function reset(string $plugin = 'centrifuge', float $timeout = 300.0): void
    {
        $this->client->call('resetter.Reset', $plugin, $timeout);
    }
}
