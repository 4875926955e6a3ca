<?php

declare(strict_types=1);

namespace Causeway\Rpc;

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

    /**
     * What a result says; what is not set is left out of it.
     *
     * @param array<string, mixed> $stream
     */
    public static function fromJson(array $stream): self
    {
        $text = static fn (string $name): string => (string) ($stream[$name] ?? '');
        $number = static fn (string $name): int => (int) ($stream[$name] ?? 0);

        return new self(
            $text('id'),
            $text('channel'),
            $text('client'),
            $text('user'),
            $text('pool'),
            (bool) ($stream['bidirectional'] ?? false),
            (bool) ($stream['held'] ?? false),
            $number('opened'),
            $number('sent'),
            $number('buffered'),
        );
    }
}
