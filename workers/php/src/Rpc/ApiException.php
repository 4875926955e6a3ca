<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/** Centrifugo answered with an error, say 102, "unknown channel": code and message are its own. */
final class ApiException extends RpcException
{
}
