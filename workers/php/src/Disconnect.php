<?php

declare(strict_types=1);

namespace Causeway\Worker;

/**
 * The client is disconnected. Return it or throw it.
 *
 * Codes 4000 to 4499 let the client connect again, 4500 to 4999 do not.
 */
final class Disconnect extends \Exception
{
    public function __construct(int $code, public readonly string $reason)
    {
        parent::__construct($reason, $code);
    }
}
