<?php

declare(strict_types=1);

namespace Causeway\Worker\Result;

use Causeway\Worker\Result;

/** The notice was taken. */
final class NotifyCacheEmptyResult extends Result
{
    /**
     * @param bool $populated Whether the application has filled the cache.
     */
    public function __construct(
        public readonly bool $populated = false,
    ) {
    }
}
