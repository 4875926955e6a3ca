<?php

declare(strict_types=1);

namespace Causeway\Worker;

/** The bytes are no frame, and where the next one begins cannot be known. */
final class FrameException extends \RuntimeException
{
}
