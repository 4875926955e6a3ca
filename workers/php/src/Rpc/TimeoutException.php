<?php

declare(strict_types=1);

namespace Causeway\Worker\Rpc;

/** The call took longer than its timeout. Its connection is closed. */
final class TimeoutException extends ConnectionException
{
}
