<?php

declare(strict_types=1);

namespace Causeway\Rpc;

use Causeway\Fields;

/** The health of pools. All methods throw an {@see RpcException}. */
final class Status
{
    public function __construct(private readonly Client $client)
    {
    }

    /** Whether the pool is alive. */
    public function status(string $plugin = 'centrifuge'): PluginStatus
    {
        return $this->ask('status.Status', $plugin);
    }

    /** Whether the pool can serve requests. */
    public function ready(string $plugin = 'centrifuge'): PluginStatus
    {
        return $this->ask('status.Ready', $plugin);
    }

    private function ask(string $method, string $plugin): PluginStatus
    {
        $response = Fields::of($this->client->call($method, ['plugin' => $plugin]));

        return new PluginStatus($response->int('code'), $response->string('message'));
    }
}
