<?php

declare(strict_types=1);

namespace Causeway\Worker\Result;

use Causeway\Worker\Result;

/** The client may subscribe. */
final class SubscribeResult extends Result
{
    /**
     * @param mixed $data For the client, as JSON.
     * @param mixed $info For presence, as JSON.
     * @param int $expireAt When the subscription expires, in Unix seconds; 0: never.
     * @param list<string> $allow What the client may do in the channel.
     */
    public function __construct(
        public readonly mixed $data = null,
        public readonly mixed $info = null,
        public readonly int $expireAt = 0,
        public readonly array $allow = [],
    ) {
    }
}
