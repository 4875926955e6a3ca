<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Result;

/** Answers the call. */
final class RpcResult extends Result
{
    /**
     * @param mixed $data for the client, as JSON
     */
    public function __construct(
        public readonly mixed $data = null,
    ) {
    }
}
