<?php

declare(strict_types=1);

namespace Causeway\Worker;

/** The event is refused with a code; the client stays. Return it or throw it. */
final class Error extends \Exception
{
    public function __construct(int $code, string $message, public readonly bool $temporary = false)
    {
        parent::__construct($message, $code);
    }

    /** The answer to an event that the application does not handle: Centrifugo's own code for what is not available. */
    public static function notAvailable(): self
    {
        return new self(108, 'not available');
    }
}
