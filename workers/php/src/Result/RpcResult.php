<?php

declare(strict_types=1);

namespace Causeway\Worker\Result;

use Causeway\Worker\Result;

/** The answer to a call. */
final class RpcResult extends Result
{
    /**
     * @param mixed $data For the client, as JSON.
     */
    public function __construct(
        public readonly mixed $data = null,
    ) {
    }
}
