<?php

/* What PHPStan has to know of amphp/amp. */

declare(strict_types=1);

namespace Amp;

interface Cancellation
{
}

final class DeferredCancellation
{
    public function getCancellation(): Cancellation
    {
        throw new \LogicException();
    }

    public function cancel(?\Throwable $previous = null): void
    {
    }
}
