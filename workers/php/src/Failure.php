<?php

declare(strict_types=1);

namespace Causeway;

/**
 * Exceptions of handlers, as the log and the server get them.
 *
 * @internal
 */
final class Failure
{
    /** Logs an exception to standard error and returns the text for the server. */
    public static function log(\Throwable $error): string
    {
        // The text of a WorkerException names the place in the application; its trace would not.
        if ($error instanceof WorkerException) {
            fwrite(STDERR, $error->getMessage() . PHP_EOL);

            return $error->getMessage();
        }
        fwrite(STDERR, $error . PHP_EOL);

        return $error::class . ': ' . $error->getMessage();
    }
}
