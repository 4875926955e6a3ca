<?php

declare(strict_types=1);

namespace Causeway\Worker;

/** Throw it to have the request handled by another worker, and this one replaced. */
final class Stop extends \Exception
{
}
