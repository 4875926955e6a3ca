<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/** A call failed. The code is 0 if the error is only a text. */
class RpcException extends \RuntimeException
{
}
