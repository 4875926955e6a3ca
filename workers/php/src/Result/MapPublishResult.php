<?php

declare(strict_types=1);

namespace Causeway\Worker\Result;

use Causeway\Worker\Result;

/** The entry may be set, under another key or with other data if they are given. */
final class MapPublishResult extends Result
{
    /**
     * @param string $key Instead of the client's.
     * @param mixed $data Instead of what the client sent, as JSON.
     * @param array<string, string> $tags Attached to the publication.
     * @param int $score Where the entry is ordered.
     */
    public function __construct(
        public readonly string $key = '',
        public readonly mixed $data = null,
        public readonly array $tags = [],
        public readonly int $score = 0,
    ) {
    }
}
