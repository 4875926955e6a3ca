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
    /** Logs an exception to standard error and returns the text for the server. That nobody waits for an answer is nothing to log. */
    public static function log(\Throwable $error): string
    {
        // Exceptions of libraries that were given the cancellation have it as their cause.
        for ($cause = $error; $cause !== null; $cause = $cause->getPrevious()) {
            if ($cause instanceof Cancelled) {
                return $cause->getMessage();
            }
        }
        // The text of a WorkerException names the place in the application; its trace would not.
        if ($error instanceof WorkerException) {
            fwrite(STDERR, $error->getMessage() . PHP_EOL);

            return $error->getMessage();
        }
        fwrite(STDERR, $error . PHP_EOL);

        return $error::class . ': ' . $error->getMessage();
    }
}
