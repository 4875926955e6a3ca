<?php

declare(strict_types=1);

namespace Causeway\Rpc;

/** The call took longer than its timeout; its connection is closed. */
final class TimeoutException extends ConnectionException
{
}
