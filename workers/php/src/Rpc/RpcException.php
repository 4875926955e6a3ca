<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/** A call failed. The code is 0 where the failure has only a text. */
class RpcException extends \RuntimeException
{
}
