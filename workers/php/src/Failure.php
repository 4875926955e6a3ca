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
            Log::error('cannot log an exception: ' . self::text($failure), self::fields($failure));
        }
        Log::error($text, $error instanceof WorkerException ? [] : self::fields($error));

        return $text;
    }

    /** Logs an error that ends the process, such as too little memory, when it does. PHP prints it as well, as text, which has no level. */
    public static function logFatal(): void
    {
        if (!Log::isStructured()) {
            return;
        }
        // What the log needs, when there is no more.
        $reserve = str_repeat(' ', 65536);
        register_shutdown_function(static function () use (&$reserve): void {
            $reserve = '';
            $error = error_get_last();
            if ($error !== null && ($error['type'] & (E_ERROR | E_PARSE | E_CORE_ERROR | E_COMPILE_ERROR)) !== 0) {
                $message = (string) strtok($error['message'], "\n");
                $place = "{$error['file']}:{$error['line']}";
                Log::error("the worker ends: $message ($place)", ['place' => $place]);
            }
        });
    }

    /** @return array<string, string> what the log has about an exception without a request */
    private static function fields(\Throwable $error): array
    {
        $place = "{$error->getFile()}:{$error->getLine()}";
        // Not the exception as a string: that may be its own, and throw.
        $traceback = self::text($error) . " in $place\n{$error->getTraceAsString()}";

        return ['exception' => $error::class, 'place' => $place, 'traceback' => $traceback];
    }
}
