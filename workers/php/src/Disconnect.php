<?php

declare(strict_types=1);

namespace Causeway;

/**
 * Disconnects the client. Return it or throw it.
 *
 * The client reconnects after codes 4000 to 4499, but not after 4500 to 4999.
 */
final class Disconnect extends \Exception
{
    public function __construct(int $code, public readonly string $reason)
    {
        parent::__construct($reason, $code);
    }
}
