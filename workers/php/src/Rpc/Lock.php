<?php

declare(strict_types=1);

namespace Causeway\Rpc;

use Causeway\Fields;

/**
 * Locks shared by all workers, or by several servers: one writer or many readers of a resource. Times are in seconds.
 *
 * All methods throw an {@see RpcException}.
 */
final class Lock
{
    /** An owner: the lock is released when this process ends. Causeway's own. */
    public const WORKER = 'worker';

    public function __construct(private readonly Client $client)
    {
    }

    /**
     * Locks for writing; returns the id of the lock, or null when the resource is locked already.
     *
     * @param string|null $id a random one by default; each call needs one of its own
     * @param float|null $ttl after which the lock expires; by default it does not
     * @param float|null $wait how long to wait for the lock; by default not at all
     * @param string|null $owner {@see self::WORKER}, or none
     */
    public function lock(
        string $resource,
        ?string $id = null,
        ?float $ttl = null,
        ?float $wait = null,
        ?string $owner = null,
    ): ?string {
        return $this->take('lock.Lock', $resource, $id, $ttl, $wait, $owner)['id'] ?? null;
    }

    /**
     * Locks for writing, with a number that is larger than that of each earlier lock of the resource: what the lock protects can refuse
     * smaller ones. Otherwise like {@see self::lock()}. RoadRunner does not have it.
     */
    public function lockFenced(
        string $resource,
        ?string $id = null,
        ?float $ttl = null,
        ?float $wait = null,
        ?string $owner = null,
    ): ?FencedLock {
        $lock = $this->take('lock.LockFenced', $resource, $id, $ttl, $wait, $owner);

        return $lock === null ? null : new FencedLock($lock['id'], $lock['token']);
    }

    /** Locks for reading, shared with other readers; otherwise like {@see self::lock()}. */
    public function lockRead(
        string $resource,
        ?string $id = null,
        ?float $ttl = null,
        ?float $wait = null,
        ?string $owner = null,
    ): ?string {
        return $this->take('lock.LockRead', $resource, $id, $ttl, $wait, $owner)['id'] ?? null;
    }

    /** Releases a lock; returns false when there is no lock with this id. */
    public function release(string $resource, string $id): bool
    {
        return $this->isDone('lock.Release', ['resource' => $resource, 'id' => $id]);
    }

    /** Releases all locks of a resource; returns false when there are none. */
    public function forceRelease(string $resource): bool
    {
        return $this->isDone('lock.ForceRelease', ['resource' => $resource]);
    }

    /** Whether the resource is locked: by the lock with this id, or by any. */
    public function exists(string $resource, string $id = '*'): bool
    {
        return $this->isDone('lock.Exists', ['resource' => $resource, 'id' => $id]);
    }

    /** Makes a lock expire `$ttl` from now; returns false when there is no lock with this id. */
    public function updateTtl(string $resource, string $id, float $ttl): bool
    {
        return $this->isDone('lock.UpdateTTL', ['resource' => $resource, 'id' => $id, 'ttl' => self::microseconds($ttl)]);
    }

    /** @return array{id: string, token: int}|null */
    private function take(
        string $method,
        string $resource,
        ?string $id,
        ?float $ttl,
        ?float $wait,
        ?string $owner,
    ): ?array {
        $id ??= bin2hex(random_bytes(16));
        $request = ['resource' => $resource, 'id' => $id];
        if ($ttl !== null) {
            $request['ttl'] = self::microseconds($ttl);
        }
        if ($wait !== null) {
            $request['wait'] = self::microseconds($wait);
        }
        if ($owner !== null) {
            $request['pid'] = self::pid($owner);
        }
        $response = Fields::of($this->client->call($method, $request, $this->client->timeout + ($wait ?? 0.0)));

        return $response->bool('ok') ? ['id' => $id, 'token' => $response->int('token')] : null;
    }

    /** @param array<string, string|int> $request */
    private function isDone(string $method, array $request): bool
    {
        return Fields::of($this->client->call($method, $request))->bool('ok');
    }

    private static function pid(string $owner): int
    {
        if ($owner !== self::WORKER) {
            throw new \InvalidArgumentException("expected the owner 'worker', found '$owner'");
        }

        return (int) getmypid();
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
