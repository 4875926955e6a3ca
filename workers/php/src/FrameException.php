<?php

declare(strict_types=1);

namespace Causeway;

/** The bytes are not a frame, so that the start of the next frame is unknown. */
final class FrameException extends \RuntimeException
{
}
