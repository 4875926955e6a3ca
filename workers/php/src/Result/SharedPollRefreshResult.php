<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Result;

/** Returns the state of the items. */
final class SharedPollRefreshResult extends Result
{
    /**
     * @param list<array<string, mixed>|\Causeway\Proto\Proxy\SharedPollRefreshResultItem> $items the items
     * @param string $epoch a new epoch means that versions start again
     */
    public function __construct(
        public readonly array $items = [],
        public readonly string $epoch = '',
    ) {
    }
}
