<?php

declare(strict_types=1);

namespace Causeway;

/**
 * The calls that have led to an exception.
 *
 * @internal
 */
final class Trace
{
    /**
     * The innermost place in the application's own code.
     *
     * @return array{file: string, line: int, function: string, arguments: list<mixed>}
     */
    public static function origin(\Throwable $error): array
    {
        $places = self::places($error);
        $own = array_filter($places, static fn (array $place): bool => self::isOwn($place['file']));
        $origin = reset($own) ?: $places[0];
        foreach ($own as $place) {
            // A function of PHP that has thrown: what matters is who called it.
            if ([$place['file'], $place['line']] !== [$origin['file'], $origin['line']]) {
                break;
            }
            $origin = $place;
        }

        return $origin;
    }

    /**
     * The places where calls were made, the innermost first, up to where this package has called a handler.
     *
     * @return non-empty-list<array{file: string, line: int, function: string, arguments: list<mixed>}>
     */
    public static function places(\Throwable $error): array
    {
        $places = [];
        [$file, $line] = [$error->getFile(), $error->getLine()];
        foreach ($error->getTrace() as $call) {
            if ($file !== '') {
                $function = ($call['class'] ?? '') . ($call['type'] ?? '') . $call['function'];
                $places[] = ['file' => $file, 'line' => $line, 'function' => $function, 'arguments' => array_values($call['args'] ?? [])];
            }
            [$file, $line] = [$call['file'] ?? '', $call['line'] ?? 0];
            if ($file === __DIR__ . '/App.php') {
                break;
            }
        }
        if ($places === []) {
            $places[] = ['file' => $file, 'line' => $line, 'function' => '', 'arguments' => []];
        }

        return $places;
    }

    /** Whether a file belongs to the application, and not to this package or another one. */
    public static function isOwn(string $file): bool
    {
        $path = strtr($file, '\\', '/');

        return !str_starts_with($path, strtr(__DIR__, '\\', '/') . '/') && !str_contains($path, '/vendor/');
    }

    /**
     * A place as file, line and function.
     *
     * @param array{file: string, line: int, function: string, arguments: list<mixed>} $place
     */
    public static function text(array $place): string
    {
        $function = $place['function'] === '' ? '' : " in {$place['function']}";

        return "{$place['file']}:{$place['line']}$function";
    }
}
