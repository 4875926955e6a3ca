<?php

declare(strict_types=1);

namespace Causeway\Worker\Result;

use Causeway\Worker\Result;

/** The publication may go on, with other data if they are given. */
final class PublishResult extends Result
{
    /**
     * @param mixed $data Instead of what the client sent, as JSON.
     * @param bool $skipHistory Whether it is left out of the history.
     * @param array<string, string> $tags Attached to the publication.
     */
    public function __construct(
        public readonly mixed $data = null,
        public readonly bool $skipHistory = false,
        public readonly array $tags = [],
    ) {
    }
}
