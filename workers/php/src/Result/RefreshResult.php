<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Result;

/** Extends the connection, or ends it. */
final class RefreshResult extends Result
{
    /**
     * @param int $expireAt when the connection expires next, in Unix seconds
     * @param bool $expired whether the connection has expired
     * @param mixed $info shown in presence and join events, as JSON
     * @param mixed $meta attached to the connection and hidden from the client, as JSON
     * @param list<array<string, mixed>|\Causeway\Proto\Proxy\ChannelsCapability> $caps what the client may do in which channels
     */
    public function __construct(
        public readonly int $expireAt = 0,
        public readonly bool $expired = false,
        public readonly mixed $info = null,
        public readonly mixed $meta = null,
        public readonly array $caps = [],
    ) {
    }
}
