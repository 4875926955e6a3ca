<?php

declare(strict_types=1);

namespace Causeway\Worker\Event;

use Causeway\Worker\Request;

/** A connection is about to expire. */
final class RefreshRequest extends Request
{
}
