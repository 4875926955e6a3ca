<?php

declare(strict_types=1);

namespace Causeway;

/** Fails the request with this message, which is logged without a trace; the worker goes on. */
final class WorkerException extends \RuntimeException
{
}
