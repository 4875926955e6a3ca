<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/** Centrifugo answered with an error, for example 102, "unknown channel". Code and message are Centrifugo's. */
final class ApiException extends RpcException
{
}
