<?php

declare(strict_types=1);

namespace Causeway\Codec;

/**
 * Pieces of a JSON text, byte by byte as they were sent: decoded and encoded again, numbers and empty objects would not be the same.
 *
 * @internal
 */
final class Text
{
    private const STRING = '"(?:[^"\\\\]++|\\\\.)*+"';

    /** The text up to the next bracket, strings included. */
    private const FLAT = '~\G(?:[^"{}\[\]]++|' . self::STRING . ')*+~s';

    private const NAME = '~\G\s*+(' . self::STRING . ')\s*+:\s*+~s';

    private const SCALAR = '~\G(?:' . self::STRING . '|[\w.+-]++)~s';

    /**
     * The value of the last member of an object, if it comes after strings only; null when it must be found in another way.
     *
     * @param string $name without characters that JSON escapes
     */
    public static function last(string $object, string $name): ?string
    {
        $found = preg_match('~^\{(?:"(?!' . $name . '")[^"\\\\]*+":' . self::STRING . ',)*+"' . $name . '":~s', $object, $start);

        return $found === 1 && str_ends_with($object, '}') ? trim(substr($object, strlen($start[0]), -1)) : null;
    }

    /**
     * The members of an object.
     *
     * @return array<string, string>
     * @throws \UnexpectedValueException when it is not an object
     */
    public static function members(string $object): array
    {
        $members = [];
        $at = strspn($object, " \t\n\r");
        $separator = '{';
        while (substr($object, $at, 1) === $separator) {
            if (preg_match(self::NAME, $object, $name, 0, ++$at) !== 1) {
                break;
            }
            $start = $at + strlen($name[0]);
            $at = self::skip($object, $start);
            $member = json_decode($name[1]);
            $members[is_string($member) ? $member : ''] = substr($object, $start, $at - $start);
            $at += strspn($object, " \t\n\r", $at);
            $separator = ',';
        }
        $at += strspn($object, " \t\n\r", $at);
        if (substr($object, $at, 1) !== '}') {
            $found = json_encode(substr($object, 0, 50), JSON_INVALID_UTF8_SUBSTITUTE);
            throw new \UnexpectedValueException("expected a JSON object, found $found");
        }

        return $members;
    }

    /** Where the value ends that starts at `$at`; nesting costs no stack. */
    private static function skip(string $text, int $at): int
    {
        $first = $text[$at] ?? '';
        if ($first !== '{' && $first !== '[') {
            preg_match(self::SCALAR, $text, $scalar, 0, $at);

            return $at + strlen($scalar[0] ?? '');
        }
        $depth = 0;
        do {
            preg_match(self::FLAT, $text, $flat, 0, $at);
            $at += strlen($flat[0] ?? '');
            $bracket = $text[$at++] ?? throw new \UnexpectedValueException('a JSON text has no end');
            $depth += $bracket === '{' || $bracket === '[' ? 1 : -1;
        } while ($depth > 0);

        return $at;
    }
}
