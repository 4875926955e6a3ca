<?php

declare(strict_types=1);

namespace Causeway\Rpc;

use Causeway\Fields;

/** An open stream of a subscription. */
final class StreamInfo
{
    /**
     * @param bool $held whether a worker streams
     * @param int $opened when, in Unix milliseconds
     * @param int $sent number of messages sent to the client
     * @param int $buffered number of messages that wait until the client reads
     */
    public function __construct(
        public readonly string $id,
        public readonly string $channel,
        public readonly string $client,
        public readonly string $user,
        public readonly string $pool,
        public readonly bool $bidirectional,
        public readonly bool $held,
        public readonly int $opened,
        public readonly int $sent,
        public readonly int $buffered,
    ) {
    }

    /** What a result says; what is not set is left out of it. */
    public static function fromJson(Fields $stream): self
    {
        return new self(
            $stream->string('id'),
            $stream->string('channel'),
            $stream->string('client'),
            $stream->string('user'),
            $stream->string('pool'),
            $stream->bool('bidirectional'),
            $stream->bool('held'),
            $stream->int('opened'),
            $stream->int('sent'),
            $stream->int('buffered'),
        );
    }
}
