<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/**
 * Locks shared by all workers of the server: one writer or many readers of a resource. Times are in seconds.
 *
 * All methods throw an {@see RpcException}.
 */
final class Lock
{
    public function __construct(private readonly Client $client)
    {
    }

    /**
     * Locks for writing; returns the id of the lock, or null when the resource is locked already.
     *
     * @param string|null $id a random one by default
     * @param float|null $ttl after which the lock expires; by default it does not
     * @param float|null $wait how long to wait for the lock; by default not at all
     */
    public function lock(string $resource, ?string $id = null, ?float $ttl = null, ?float $wait = null): ?string
    {
        return $this->take('lock.Lock', $resource, $id, $ttl, $wait);
    }

    /** Locks for reading, shared with other readers; otherwise like {@see self::lock()}. */
    public function lockRead(string $resource, ?string $id = null, ?float $ttl = null, ?float $wait = null): ?string
    {
        return $this->take('lock.LockRead', $resource, $id, $ttl, $wait);
    }

    /** Releases a lock; returns false when there is no lock with this id. */
    public function release(string $resource, string $id): bool
    {
        return $this->ask('lock.Release', ['resource' => $resource, 'id' => $id]);
    }

    /** Releases all locks of a resource; returns false when there are none. */
    public function forceRelease(string $resource): bool
    {
        return $this->ask('lock.ForceRelease', ['resource' => $resource]);
    }

    /** Whether the resource is locked: by the lock with this id, or by any. */
    public function exists(string $resource, string $id = '*'): bool
    {
        return $this->ask('lock.Exists', ['resource' => $resource, 'id' => $id]);
    }

    /** Makes a lock expire `$ttl` from now; returns false when there is no lock with this id. */
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
        // More microseconds do not fit into 64 bits.
        if (!($seconds >= 0 && $seconds < 9e12)) {
            throw new \InvalidArgumentException("expected seconds, found $seconds");
        }

        return (int) round($seconds * 1e6);
    }
}
