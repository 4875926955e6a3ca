<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Result;

/** Lets the publication pass. */
final class PublishResult extends Result
{
    /**
     * @param mixed $data replaces what the client sent, as JSON
     * @param bool $skipHistory whether to keep it out of the history
     * @param array<string, string> $tags attached to the publication
     * @param string $idempotencyKey drops the publication if its key was used shortly before
     * @param bool $delta whether to send subscribers only what changed
     * @param int $version drops the publication if the channel has this version or a newer one
     * @param string $versionEpoch versions of another epoch are not compared
     */
    public function __construct(
        public readonly mixed $data = null,
        public readonly bool $skipHistory = false,
        public readonly array $tags = [],
        public readonly string $idempotencyKey = '',
        public readonly bool $delta = false,
        public readonly int $version = 0,
        public readonly string $versionEpoch = '',
    ) {
    }
}
