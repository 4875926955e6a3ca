<?php

declare(strict_types=1);

namespace Causeway\Worker\Result;

use Causeway\Worker\Result;

/** The client may connect. */
final class ConnectResult extends Result
{
    /**
     * @param string $user The id of the user.
     * @param mixed $data For the client, as JSON.
     * @param list<string> $channels Channels to subscribe the client to.
     * @param int $expireAt When the connection expires, in Unix seconds; 0: never.
     * @param mixed $info For presence, as JSON.
     * @param mixed $meta Attached to the connection out of the client's sight, as JSON.
     * @param array<string, string> $labels Attached to the connection.
     * @param array<string, \Causeway\Proto\Proxy\SubscribeOptions> $subs Channels with options of their own.
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
    ) {
    }
}
