<?php

declare(strict_types=1);

namespace Causeway;

/** A request as it comes from the server: a JSON context with the event type and headers, and an encoded message. */
final class Payload
{
    public function __construct(public readonly string $context, public readonly string $body)
    {
    }
}
