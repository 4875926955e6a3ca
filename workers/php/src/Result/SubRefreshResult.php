<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Result;

/** Extends the subscription, or ends it. */
final class SubRefreshResult extends Result
{
    /**
     * @param int $expireAt when the subscription expires next, in Unix seconds
     * @param bool $expired whether the subscription has expired
     * @param mixed $info shown in presence and join events, as JSON
     */
    public function __construct(
        public readonly int $expireAt = 0,
        public readonly bool $expired = false,
        public readonly mixed $info = null,
    ) {
    }
}
