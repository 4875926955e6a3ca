<?php

declare(strict_types=1);

namespace Causeway\Worker;

use Google\Protobuf\DescriptorPool;
use Google\Protobuf\Internal\GPBType;
use Google\Protobuf\Internal\Message;

/**
 * The plain fields of one kind of message, as they travel: texts, bytes, numbers, truth values and lists of texts.
 *
 * Nearly all events and results consist of them, and in PHP, Google's library would take most of a request's time to read and write
 * them. What is not plain, or not right, is left to the library: it alone says what an error is.
 *
 * On the wire, a field is its tag, which holds its number and how the value travels, and its value. Strings have their length in
 * front. Numbers travel in groups of seven bits, the lowest first, and all but the last group have the eighth bit set.
 *
 * @internal
 */
final class Schema
{
    private const VARINT = 0;
    private const LENGTH = 2;

    /** @var array<string, self> */
    private static array $known = [];

    /** @var array<string, string> the names of single texts and bytes, by their tags; {@see read()} finds tags of one byte only */
    private array $names = [];

    /** @var array<string, true> the names of what must be UTF-8 */
    private array $texts = [];

    /** @var array<string, array{string, int, bool}> the tag and the type of each plain field, and whether it is a list */
    private array $fields = [];

    private function __construct(Message $message)
    {
        $descriptor = DescriptorPool::getGeneratedPool()->getDescriptorByClassName($message::class);
        for ($index = 0; $index < $descriptor->getFieldCount(); ++$index) {
            $field = $descriptor->getField($index);
            $name = lcfirst(str_replace('_', '', ucwords($field->getName(), '_')));
            $type = $field->getType();
            $isString = $type === GPBType::STRING || $type === GPBType::BYTES;
            // A new message has an empty value where a single one belongs, and an object or null everywhere else.
            $isSingle = is_scalar($message->{"get$name"}());
            $tag = self::varint($field->getNumber() << 3 | ($isString ? self::LENGTH : self::VARINT));
            if ($isSingle || $type === GPBType::STRING) {
                $this->fields[$name] = [$tag, $type, !$isSingle];
            }
            if ($isSingle && $isString) {
                $this->names[$tag] = $name;
            }
            if ($type === GPBType::STRING) {
                $this->texts[$name] = true;
            }
        }
    }

    /** @param class-string<Message> $class */
    public static function of(string $class): self
    {
        return self::$known[$class] ??= new self(new $class());
    }

    /**
     * What a message says, if there are only single texts and bytes in it.
     *
     * @return array<string, string>|null by the fields' names in camelCase
     */
    public function read(string $bytes): ?array
    {
        $values = [];
        for ($at = 0, $end = strlen($bytes); $at < $end; $at += $length) {
            $name = $this->names[$bytes[$at]] ?? null;
            if ($name === null) {
                return null;
            }
            $length = $shift = 0;
            do {
                if (++$at === $end || $shift > 28) {
                    return null;
                }
                $byte = ord($bytes[$at]);
                $length |= ($byte & 0x7F) << $shift;
                $shift += 7;
            } while ($byte > 0x7F);
            if ($length > $end - ++$at) {
                return null;
            }
            $value = substr($bytes, $at, $length);
            if (isset($this->texts[$name]) && !self::isText($value)) {
                return null;
            }
            $values[$name] = $value;
        }

        return $values;
    }

    /**
     * A message that says this, if all of it is plain.
     *
     * @param array<string, mixed> $values by the fields' names in camelCase
     */
    public function write(array $values): ?string
    {
        $bytes = '';
        foreach ($values as $name => $value) {
            [$tag, $type, $isList] = $this->fields[$name] ?? [null, null, false];
            foreach ($isList && is_array($value) ? $value : [$value] as $item) {
                $encoded = match (true) {
                    $type === GPBType::STRING && is_string($item) && self::isText($item),
                    $type === GPBType::BYTES && is_string($item) => self::string($item),
                    ($type === GPBType::INT64 || $type === GPBType::UINT64) && is_int($item) && $item >= 0 => self::varint($item),
                    $type === GPBType::BOOL && is_bool($item) => chr((int) $item),
                    default => null,
                };
                if ($encoded === null) {
                    return null;
                }
                $bytes .= $tag . $encoded;
            }
        }

        return $bytes;
    }

    /** A string with its length in front. */
    public static function string(string $value): string
    {
        return self::varint(strlen($value)) . $value;
    }

    private static function varint(int $value): string
    {
        $bytes = '';
        for (; $value > 0x7F; $value >>= 7) {
            $bytes .= chr($value & 0x7F | 0x80);
        }

        return $bytes . chr($value);
    }

    private static function isText(string $value): bool
    {
        return preg_match('//u', $value) === 1;
    }
}
