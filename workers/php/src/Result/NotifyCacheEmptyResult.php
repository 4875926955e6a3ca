<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Result;

/** Acknowledges the notification. */
final class NotifyCacheEmptyResult extends Result
{
    /**
     * @param bool $populated whether the application has published to the channel
     */
    public function __construct(
        public readonly bool $populated = false,
    ) {
    }
}
