<?php

declare(strict_types=1);

namespace Causeway\Worker\Result;

use Causeway\Worker\Result;

/** The connection goes on, or has expired. */
final class RefreshResult extends Result
{
    /**
     * @param int $expireAt When the connection expires now, in Unix seconds.
     * @param bool $expired Whether it has expired.
     * @param mixed $info For presence, as JSON.
     * @param mixed $meta Attached to the connection out of the client's sight, as JSON.
     */
    public function __construct(
        public readonly int $expireAt = 0,
        public readonly bool $expired = false,
        public readonly mixed $info = null,
        public readonly mixed $meta = null,
    ) {
    }
}
