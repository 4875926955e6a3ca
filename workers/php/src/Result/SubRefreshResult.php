<?php

declare(strict_types=1);

namespace Causeway\Worker\Result;

use Causeway\Worker\Result;

/** The subscription goes on, or has expired. */
final class SubRefreshResult extends Result
{
    /**
     * @param int $expireAt When the subscription expires now, in Unix seconds.
     * @param bool $expired Whether it has expired.
     * @param mixed $info For presence, as JSON.
     */
    public function __construct(
        public readonly int $expireAt = 0,
        public readonly bool $expired = false,
        public readonly mixed $info = null,
    ) {
    }
}
