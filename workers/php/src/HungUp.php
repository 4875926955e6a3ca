<?php

declare(strict_types=1);

namespace Causeway\Worker;

/**
 * The supervisor is gone.
 *
 * @internal
 */
final class HungUp extends \RuntimeException
{
}
