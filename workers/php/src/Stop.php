<?php

declare(strict_types=1);

namespace Causeway;

/** Throw it to hand the request to another worker and have this one replaced. */
final class Stop extends \Exception
{
}
