<?php

declare(strict_types=1);

namespace Causeway;

/**
 * What a developer wants to know about an exception: the request, and the code around each call of the application.
 *
 * @internal
 */
final class DebugPage implements \Stringable
{
    /** Bytes of the client's data. */
    private const MAX_DATA = 2048;

    /** Characters of an argument. */
    private const MAX_VALUE = 200;

    private const ENCODING = JSON_PARTIAL_OUTPUT_ON_ERROR | JSON_UNESCAPED_SLASHES | JSON_UNESCAPED_UNICODE;

    /** Lines before and after that of a call. */
    private const AROUND = 3;

    public function __construct(private readonly \Throwable $error, private readonly Request $request, private readonly string $subject)
    {
    }

    public function __toString(): string
    {
        $lines = $this->request();
        for ($error = $this->error; $error !== null; $error = $error->getPrevious()) {
            $lines[] = ($error === $this->error ? '' : 'caused by ') . $error::class . ': ' . $error->getMessage();
            $lines = [...$lines, ...self::calls($error)];
        }

        return implode("\n", $lines);
    }

    /** @return list<string> the application's calls, and the code around them */
    private static function calls(\Throwable $error): array
    {
        $lines = [];
        $last = null;
        foreach (Trace::places($error) as $place) {
            if (Trace::isOwn($place['file'])) {
                $arguments = implode(', ', array_map(self::value(...), $place['arguments']));
                $where = "{$place['file']}:{$place['line']}";
                $lines[] = "  $where" . ($place['function'] === '' ? '' : " in {$place['function']}($arguments)");
                // A function of PHP that has thrown is in the same line as its call.
                $lines = $where === $last ? $lines : [...$lines, ...self::code($place['file'], $place['line'])];
                $last = $where;
            }
        }

        return $lines;
    }

    /** @return list<string> */
    private function request(): array
    {
        $lines = ["request: $this->subject", "user: {$this->request->user}", "client: {$this->request->client}"];
        try {
            $data = $this->request->data;
        } catch (\Throwable $error) {
            $data = $error->getMessage();
        }
        $lines[] = 'data: ' . self::printable(substr($data, 0, self::MAX_DATA)) . (strlen($data) > self::MAX_DATA ? '...' : '');

        return $lines;
    }

    /** @return list<string> a line of code with those around it */
    private static function code(string $file, int $line): array
    {
        $code = is_file($file) ? @file($file, FILE_IGNORE_NEW_LINES) : false;
        $lines = [];
        for ($number = max(1, $line - self::AROUND); $code !== false && $number <= min(count($code), $line + self::AROUND); ++$number) {
            $lines[] = sprintf('  %s%5d | %s', $number === $line ? '>' : ' ', $number, $code[$number - 1]);
        }

        return $lines;
    }

    private static function value(mixed $value): string
    {
        $text = match (true) {
            is_object($value) => $value::class,
            is_scalar($value), is_array($value), $value === null => (string) json_encode($value, self::ENCODING, 8),
            default => get_debug_type($value),
        };

        return strlen($text) > self::MAX_VALUE ? self::printable(substr($text, 0, self::MAX_VALUE)) . '...' : $text;
    }

    /** Text in one line, whatever a client has sent. */
    private static function printable(string $text): string
    {
        return addcslashes($text, preg_match('~~u', $text) === 1 ? "\0..\37\177" : "\0..\37\177..\377");
    }
}
