<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Result;

/** Lets the client set the entry. */
final class MapPublishResult extends Result
{
    /**
     * @param string $key replaces the client's key
     * @param mixed $data replaces what the client sent, as JSON
     * @param array<string, string> $tags attached to the publication
     * @param int $score orders the entry
     * @param string $keyMode how the key may be set, as Centrifugo defines it
     * @param mixed $streamData goes to the stream instead of the data, as JSON
     * @param string $idempotencyKey drops the publication if its key was used shortly before
     * @param bool $delta whether to send subscribers only what changed
     * @param int $version drops the publication if the entry has this version or a newer one
     * @param string $versionEpoch versions of another epoch are not compared
     */
    public function __construct(
        public readonly string $key = '',
        public readonly mixed $data = null,
        public readonly array $tags = [],
        public readonly int $score = 0,
        public readonly string $keyMode = '',
        public readonly mixed $streamData = null,
        public readonly string $idempotencyKey = '',
        public readonly bool $delta = false,
        public readonly int $version = 0,
        public readonly string $versionEpoch = '',
    ) {
    }
}
