<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/** The application's metrics, served along with the server's own. All methods throw an {@see RpcException}. */
final class Metrics
{
    public function __construct(private readonly Client $client)
    {
    }

    /**
     * Declares a metric; declaring the same name again has no effect.
     *
     * @param string $type counter, gauge, histogram or summary
     * @param list<string> $labels names
     * @param list<float|int> $buckets of a histogram; Prometheus' defaults if empty
     * @param array<string, float> $objectives of a summary: quantiles, such as '0.99', and their allowed errors
     */
    public function declare(
        string $name,
        string $type,
        string $help = '',
        array $labels = [],
        array $buckets = [],
        array $objectives = [],
        string $namespace = '',
        string $subsystem = '',
    ): void {
        $collector = ['type' => $type, 'help' => $help, 'labels' => $labels ?: null, 'buckets' => $buckets ?: null];
        $optional = ['namespace' => $namespace, 'subsystem' => $subsystem];
        $collector += array_filter($optional, static fn (string $value): bool => $value !== '');
        if ($objectives !== []) {
            $collector['objectives'] = (object) $objectives;
        }
        $this->client->call('metrics.Declare', ['name' => $name, 'collector' => $collector]);
    }

    /**
     * Adds to a counter or gauge.
     *
     * @param list<string> $labels values, in the order of the declared names
     */
    public function add(string $name, float|int $value, array $labels = []): void
    {
        $this->change('Add', $name, $value, $labels);
    }

    /**
     * Subtracts from a gauge.
     *
     * @param list<string> $labels
     */
    public function sub(string $name, float|int $value, array $labels = []): void
    {
        $this->change('Sub', $name, $value, $labels);
    }

    /**
     * Sets a gauge.
     *
     * @param list<string> $labels
     */
    public function set(string $name, float|int $value, array $labels = []): void
    {
        $this->change('Set', $name, $value, $labels);
    }

    /**
     * Adds an observation to a histogram or summary.
     *
     * @param list<string> $labels
     */
    public function observe(string $name, float|int $value, array $labels = []): void
    {
        $this->change('Observe', $name, $value, $labels);
    }

    /** Removes a metric. */
    public function unregister(string $name): void
    {
        $this->client->call('metrics.Unregister', $name);
    }

    /** @param list<string> $labels */
    private function change(string $operation, string $name, float|int $value, array $labels): void
    {
        $this->client->call("metrics.$operation", ['name' => $name, 'value' => $value, 'labels' => $labels]);
    }
}
