<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/**
 * Locks that all workers of the bridge share: one writer or many readers to a resource. Times are in seconds.
 *
 * All methods throw an {@see RpcException}.
 */
final class Lock
{
    private readonly Client $client;

    public function __construct(?Client $client = null)
    {
        $this->client = $client ?? Client::shared();
    }

    /**
     * Locks for writing, and gives the lock's id; null when somebody else has the lock.
     *
     * @param string|null $id a random one unless given
     * @param float|null $ttl after which the lock ends by itself; never unless given
     * @param float|null $wait how long to wait for the lock; not at all unless given
     */
    public function lock(string $resource, ?string $id = null, ?float $ttl = null, ?float $wait = null): ?string
    {
        return $this->take('lock.Lock', $resource, $id, $ttl, $wait);
    }

    /** Locks for reading, together with other readers; else as {@see self::lock()}. */
    public function lockRead(string $resource, ?string $id = null, ?float $ttl = null, ?float $wait = null): ?string
    {
        return $this->take('lock.LockRead', $resource, $id, $ttl, $wait);
    }

    /** Releases a lock; false when there was none of this id. */
    public function release(string $resource, string $id): bool
    {
        return $this->ask('lock.Release', ['resource' => $resource, 'id' => $id]);
    }

    /** Releases all locks of a resource, whoever has them. */
    public function forceRelease(string $resource): bool
    {
        return $this->ask('lock.ForceRelease', ['resource' => $resource]);
    }

    /** Whether the resource is locked, under this id if one is given. */
    public function exists(string $resource, string $id = '*'): bool
    {
        return $this->ask('lock.Exists', ['resource' => $resource, 'id' => $id]);
    }

    /** Has a lock end by itself after `$ttl` from now. */
    public function updateTtl(string $resource, string $id, float $ttl): bool
    {
        return $this->ask('lock.UpdateTTL', ['resource' => $resource, 'id' => $id, 'ttl' => self::microseconds($ttl)]);
    }

    private function take(string $method, string $resource, ?string $id, ?float $ttl, ?float $wait): ?string
    {
        $id ??= bin2hex(random_bytes(16));
        $request = ['resource' => $resource, 'id' => $id];
        if ($ttl !== null) {
            $request['ttl'] = self::microseconds($ttl);
        }
        if ($wait !== null) {
            $request['wait'] = self::microseconds($wait);
        }

        return $this->ask($method, $request, $wait ?? 0.0) ? $id : null;
    }

    /** @param array<string, string|int> $request */
    private function ask(string $method, array $request, float $wait = 0.0): bool
    {
        $response = $this->client->call($method, $request, $this->client->timeout + $wait);

        return ($response['ok'] ?? false) === true;
    }

    private static function microseconds(float $seconds): int
    {
        // Beyond that, they do not fit into 64 bits.
        if (!($seconds >= 0 && $seconds < 9e12)) {
            throw new \InvalidArgumentException("expected seconds, found $seconds");
        }

        return (int) round($seconds * 1e6);
    }
}
