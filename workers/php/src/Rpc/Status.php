<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/** Asks whether the bridge is well. All methods throw an {@see RpcException}. */
final class Status
{
    private readonly Client $client;

    public function __construct(?Client $client = null)
    {
        $this->client = $client ?? Client::shared();
    }

    /** Whether the pool lives. */
    public function status(string $plugin = 'centrifuge'): PluginStatus
    {
        return $this->ask('status.Status', $plugin);
    }

    /** Whether the pool can take requests. */
    public function ready(string $plugin = 'centrifuge'): PluginStatus
    {
        return $this->ask('status.Ready', $plugin);
    }

    private function ask(string $method, string $plugin): PluginStatus
    {
        $response = $this->client->call($method, ['plugin' => $plugin]);

        return new PluginStatus((int) ($response['code'] ?? 0), $response['message'] ?? '');
    }
}
