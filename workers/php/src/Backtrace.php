<?php

declare(strict_types=1);

namespace Causeway;

/**
 * Says where in the code a slow request is, when the server asks by a signal.
 *
 * The server asks only if its pool has `slow_after`: it announces the signal in `CAUSEWAY_BACKTRACE`, and sends it to workers that have
 * offered in their handshake to answer. PHP runs the handler between two instructions: a call that blocks, such as a query, is named when
 * it returns. The signal interrupts what PHP does not restart: `sleep()` and `usleep()` return early. The server does not send it to a
 * worker that waits in `stream_select()`, as far as the kernel says so. So an application has to ask for it.
 *
 * @internal
 */
final class Backtrace
{
    /** The answer is one write, which a pipe takes as a whole. */
    private const MAX_STACK = 3000;

    /** What stands between interceptors and handlers. */
    private const BETWEEN = [__DIR__ . '/Chain.php', __DIR__ . '/Handler.php'];

    /**
     * Answers the server from now on, if it asks. From then on, all signal handlers of PHP run at once (`pcntl_async_signals()`).
     *
     * @return array<string, string> what to add to the handshake
     */
    public static function offer(): array
    {
        if (getenv('CAUSEWAY_BACKTRACE') !== 'SIGUSR2' || !function_exists('pcntl_signal') || !function_exists('pcntl_async_signals')) {
            return [];
        }
        if (pcntl_signal_get_handler(SIGUSR2) !== SIG_DFL) {
            // The application has a use of its own for the signal.
            return [];
        }
        pcntl_async_signals(true);
        // System calls that can be restarted are.
        return pcntl_signal(SIGUSR2, self::report(...), true) ? ['backtrace' => 'SIGUSR2'] : [];
    }

    private static function report(): void
    {
        $places = self::places(debug_backtrace(DEBUG_BACKTRACE_IGNORE_ARGS));
        $line = [
            'backtrace' => $places === [] ? 'between requests' : $places[count($places) - 1],
            'stack' => substr(implode(' > ', $places), -self::MAX_STACK),
            'level' => 'info',
            'msg' => 'the worker is here',
        ];
        fwrite(STDERR, json_encode($line, JSON_INVALID_UTF8_SUBSTITUTE | JSON_UNESCAPED_SLASHES) . "\n");
    }

    /**
     * The places of the application, without what has called it, the outermost first.
     *
     * @param list<array<string, mixed>> $frames the innermost first; the first one is the handler's
     * @return list<string>
     */
    private static function places(array $frames): array
    {
        $places = [];
        foreach ($frames as $index => $frame) {
            $file = $frame['file'] ?? null;
            if (!is_string($file)) {
                continue;
            }
            if (str_starts_with($file, __DIR__ . '/') && self::isServing($frames, $index)) {
                break;
            }
            if (in_array($file, self::BETWEEN, true)) {
                continue;
            }
            $caller = $frames[$index + 1] ?? [];
            $class = is_string($caller['class'] ?? null) ? $caller['class'] . '::' : '';
            $function = is_string($caller['function'] ?? null) ? $caller['function'] : 'main';
            $line = is_int($frame['line'] ?? null) ? $frame['line'] : 0;
            $places[] = "$file:$line in $class$function";
        }

        return array_reverse($places);
    }

    /**
     * Whether only this package is further out, up to the worker's loop.
     *
     * @param list<array<string, mixed>> $frames
     */
    private static function isServing(array $frames, int $index): bool
    {
        $calls = array_slice($frames, $index, 4);
        foreach ($calls as $call) {
            if (($call['class'] ?? null) === App::class && ($call['function'] ?? null) === 'answer') {
                return true;
            }
            if (($call['class'] ?? null) === Worker::class) {
                return true;
            }
        }

        return false;
    }
}
