<?php

declare(strict_types=1);

namespace Causeway\Worker\Result;

use Causeway\Worker\Result;

/** The notice was taken. */
final class NotifyChannelStateResult extends Result
{
}
