<?php

declare(strict_types=1);

namespace Causeway\Result;

use Causeway\Result;

/** Acknowledges the end of a stream. */
final class StreamEndResult extends Result
{
}
