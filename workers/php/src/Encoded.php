<?php

declare(strict_types=1);

namespace Causeway\Worker;

use Google\Protobuf\Internal\Message;

/**
 * A message as it came.
 *
 * @internal
 */
final class Encoded
{
    /** @param class-string<Message> $class */
    public function __construct(private readonly string $class, private readonly string $bytes)
    {
    }

    /** @return array<string, string>|null what it says, if there are only texts and bytes in it */
    public function texts(): ?array
    {
        return Schema::of($this->class)->read($this->bytes);
    }

    /** @throws \Exception when the bytes are no such message */
    public function message(): Message
    {
        $message = new $this->class();
        $message->mergeFromString($this->bytes);

        return $message;
    }
}
