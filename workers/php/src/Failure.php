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
    /** @var \WeakMap<\Throwable, Incident>|null what was being handled when an exception was thrown */
    private static ?\WeakMap $incidents = null;

    /** Remembers for the log what was being handled. The exception itself stays as it is. */
    public static function during(Incident $incident, \Throwable $error): void
    {
        /** @var \WeakMap<\Throwable, Incident> $incidents */
        $incidents = self::$incidents ?? new \WeakMap();
        $incidents[$error] = $incident;
        self::$incidents = $incidents;
    }

    /** The text for the server. That of a WorkerException names the place in the application; its trace would not. */
    public static function text(\Throwable $error): string
    {
        return $error instanceof WorkerException ? $error->getMessage() : $error::class . ": {$error->getMessage()}";
    }

    /** Logs an exception and returns the text for the server. That nobody waits for an answer is nothing to log. */
    public static function log(\Throwable $error): string
    {
        // Exceptions of libraries that were given the cancellation have it as their cause.
        for ($cause = $error; $cause !== null; $cause = $cause->getPrevious()) {
            if ($cause instanceof Cancelled) {
                return $cause->getMessage();
            }
        }
        $text = self::text($error);
        $incident = self::$incidents[$error] ?? null;
        try {
            if ($incident !== null) {
                $incident->log($error, $text);

                return $text;
            }
        } catch (\Throwable $failure) {
            fwrite(STDERR, "cannot log an exception: $failure" . PHP_EOL);
        }
        fwrite(STDERR, ($error instanceof WorkerException ? $text : $error) . PHP_EOL);

        return $text;
    }
}
