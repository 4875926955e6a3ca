<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Result;

/** Acknowledges the notification. */
final class NotifyChannelStateResult extends Result
{
}
