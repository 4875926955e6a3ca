<?php

declare(strict_types=1);

namespace Causeway\Worker\Result;

use Causeway\Worker\Result;

/** The state that was asked for. */
final class SharedPollRefreshResult extends Result
{
    /**
     * @param list<\Causeway\Proto\Proxy\SharedPollRefreshResultItem> $items The entries.
     * @param string $epoch Changes when the state begins anew.
     */
    public function __construct(
        public readonly array $items = [],
        public readonly string $epoch = '',
    ) {
    }
}
