<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Proto\Proxy\FilterNode;
use Causeway\Proto\Proxy\SubscribeOptionOverride;
use Causeway\Result;

/** Lets the client subscribe. */
final class SubscribeResult extends Result
{
    /**
     * @param mixed $data for the client, as JSON
     * @param mixed $info shown in presence and join events, as JSON
     * @param int $expireAt when the subscription expires, in Unix seconds; 0: never
     * @param list<string> $allow what the client may do in the channel
     * @param array<string, mixed>|SubscribeOptionOverride|null $override channel options to override
     * @param array<string, mixed>|FilterNode|null $serverTagsFilter selects publications by their tags
     */
    public function __construct(
        public readonly mixed $data = null,
        public readonly mixed $info = null,
        public readonly int $expireAt = 0,
        public readonly array $allow = [],
        public readonly array|SubscribeOptionOverride|null $override = null,
        public readonly array|FilterNode|null $serverTagsFilter = null,
    ) {
    }
}
