<?php

declare(strict_types=1);

namespace Causeway;

/** A message of a stream, for the client. Handlers of streams that are generators yield it. */
final class Publication
{
    /**
     * @param mixed $data for the client, as JSON
     * @param array<string, string> $tags attached to the publication
     */
    public function __construct(
        public readonly mixed $data = null,
        public readonly array $tags = [],
    ) {
    }
}
