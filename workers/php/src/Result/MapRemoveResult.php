<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Result;

/** Lets the client remove the entry. */
final class MapRemoveResult extends Result
{
    /**
     * @param string $key replaces the client's key
     * @param array<string, string> $tags attached to the publication
     * @param string $idempotencyKey drops the removal if its key was used shortly before
     */
    public function __construct(
        public readonly string $key = '',
        public readonly array $tags = [],
        public readonly string $idempotencyKey = '',
    ) {
    }
}
