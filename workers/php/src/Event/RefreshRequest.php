<?php

declare(strict_types=1);

namespace Causeway\Event;

use Causeway\Request;

/** A connection is about to expire. */
final class RefreshRequest extends Request
{
}
