<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Result;

/** Lets the client connect. */
final class ConnectResult extends Result
{
    /**
     * @param string $user the id of the user
     * @param mixed $data for the client, as JSON
     * @param list<string> $channels channels to subscribe the client to
     * @param int $expireAt when the connection expires, in Unix seconds; 0: never
     * @param mixed $info shown in presence and join events, as JSON
     * @param mixed $meta attached to the connection and hidden from the client, as JSON
     * @param array<string, string> $labels attached to the connection, to filter connections by
     * @param array<string, array<string, mixed>|\Causeway\Proto\Proxy\SubscribeOptions> $subs channels to subscribe to, with options
     * @param list<array<string, mixed>|\Causeway\Proto\Proxy\ChannelsCapability> $caps what the client may do in which channels
     */
    public function __construct(
        public readonly string $user = '',
        public readonly mixed $data = null,
        public readonly array $channels = [],
        public readonly int $expireAt = 0,
        public readonly mixed $info = null,
        public readonly mixed $meta = null,
        public readonly array $labels = [],
        public readonly array $subs = [],
        public readonly array $caps = [],
    ) {
    }
}
