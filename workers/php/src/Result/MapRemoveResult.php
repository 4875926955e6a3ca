<?php

declare(strict_types=1);

namespace Causeway\Worker\Result;

use Causeway\Worker\Result;

/** The entry may be removed. */
final class MapRemoveResult extends Result
{
    /**
     * @param string $key Instead of the client's.
     */
    public function __construct(
        public readonly string $key = '',
    ) {
    }
}
