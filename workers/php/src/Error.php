<?php

declare(strict_types=1);

namespace Causeway;

/** Refuses an event with a code and a message; the client stays connected. Return it or throw it. */
final class Error extends \Exception
{
    public function __construct(int $code, string $message, public readonly bool $temporary = false)
    {
        parent::__construct($message, $code);
    }

    /** Centrifugo's error 108: the answer to events without a handler. */
    public static function notAvailable(): self
    {
        return new self(108, 'not available');
    }
}
