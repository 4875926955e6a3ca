<?php

declare(strict_types=1);

namespace Causeway;

/**
 * The server has closed the relay.
 *
 * @internal
 */
final class RelayClosed extends \RuntimeException
{
}
