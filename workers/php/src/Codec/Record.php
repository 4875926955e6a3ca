<?php

declare(strict_types=1);

namespace Causeway\Codec;

/**
 * A message decoded from JSON, with the getters of the protobuf message. A field that is not set is empty.
 *
 * @internal
 */
final class Record
{
    /** JSON nests as deep in the data of a message as in a value of its own, 512 levels. */
    private const DEPTH = 513;

    private const EMPTY = ['string' => '', 'bytes' => '', 'bool' => false];

    /** @var array<string, string>|null the JSON of each field */
    private ?array $texts = null;

    /** @param array<string, mixed> $fields all fields that are set, those that `Causeway\Proto\Proxy` does not know included */
    private function __construct(private readonly string $name, public readonly array $fields, private readonly string $body)
    {
    }

    /** @throws \UnexpectedValueException when it is not a JSON object */
    public static function decode(string $name, string $body): self
    {
        // The versions of items are the only numbers that may be too large for PHP, and come without data, which would be changed.
        $flags = $name === 'SharedPollRefreshRequest' ? JSON_BIGINT_AS_STRING : 0;
        $fields = $body === '' ? [] : json_decode($body, true, self::DEPTH, $flags);
        if (is_array($fields) && ($body === '' || $body[0] === '{')) {
            /** @var array<string, mixed> $fields */
            return new self($name, $fields, $body);
        }

        return self::lenient($name, $body);
    }

    /** The bytes of a field that carries JSON, as they were sent. The server sends in base64 what is not JSON. */
    public function raw(string $field): string
    {
        if ($this->texts === null && !array_key_exists($field, $this->fields)) {
            $encoded = $this->fields["b64$field"] ?? '';

            return is_string($encoded) ? (string) base64_decode($encoded) : '';
        }
        if ($this->texts === null && $field === array_key_last($this->fields)) {
            $last = Text::last($this->body, $field);
            if ($last !== null) {
                return $last;
            }
        }
        $this->texts ??= Text::members($this->body);

        return $this->texts[$field] ?? '';
    }

    /** @throws \JsonException when the field is set, but not to JSON that can be decoded */
    public function json(string $field): mixed
    {
        if (isset($this->fields[$field])) {
            return $this->fields[$field];
        }
        $text = $this->raw($field);

        return $text === '' ? null : json_decode($text, true, flags: JSON_THROW_ON_ERROR);
    }

    /** @return array<mixed> */
    public function values(string $field): array
    {
        $kind = Shapes::MESSAGES[$this->name][$field] ?? 'string';
        $values = (array) ($this->fields[$field] ?? []);
        $kind = is_array($kind) ? reset($kind) : $kind;

        return isset(Shapes::MESSAGES[$kind]) ? array_map(static fn (mixed $value): self => self::nested($kind, $value), $values) : $values;
    }

    /**
     * Getters: getTimeMs(), hasOverride().
     *
     * @param list<mixed> $arguments
     */
    public function __call(string $method, array $arguments): mixed
    {
        $isGetter = str_starts_with($method, 'get');
        $field = $this->find(substr($method, 3));
        if ($field === null || (!$isGetter && !str_starts_with($method, 'has'))) {
            throw new \BadMethodCallException("$this->name has no method $method()");
        }
        if (!$isGetter) {
            return isset($this->fields[$field]);
        }
        $kind = Shapes::field($this->name, $field);
        if (is_array($kind)) {
            return $this->values($field);
        }
        if ($kind === 'bytes') {
            return $this->raw($field);
        }
        $value = $this->fields[$field] ?? null;
        if (isset(Shapes::MESSAGES[$kind])) {
            return $value === null ? null : self::nested($kind, $value);
        }

        return match (true) {
            $value === null => self::EMPTY[$kind] ?? 0,
            $kind === 'uint64' && is_string($value) => self::wrapped($value),
            default => $value,
        };
    }

    /** An integer of 64 bits without a sign, as protobuf's classes return it: negative if the highest bit is set. */
    private static function wrapped(string $digits): int
    {
        [$high, $low] = [0, 0];
        foreach (str_split($digits) as $digit) {
            $low = $low * 10 + (int) $digit;
            $high = ($high * 10 + ($low >> 32)) & 0xFFFFFFFF;
            $low &= 0xFFFFFFFF;
        }

        return $high << 32 | $low;
    }

    private function find(string $name): ?string
    {
        foreach (array_keys(Shapes::MESSAGES[$this->name]) as $field) {
            if (strcasecmp(str_replace('_', '', $field), $name) === 0) {
                return $field;
            }
        }

        return null;
    }

    private static function nested(string $name, mixed $value): self
    {
        /** @var array<string, mixed> $fields */
        $fields = (array) $value;

        return new self($name, $fields, (string) json_encode($value));
    }

    /** A message whose data cannot be decoded, since it is too deep or not in UTF-8: it matters only to a handler that decodes it. */
    private static function lenient(string $name, string $body): self
    {
        $fields = [];
        $texts = Text::members($body);
        foreach ($texts as $field => $text) {
            $value = json_decode($text, true);
            if (json_last_error() === JSON_ERROR_NONE) {
                $fields[$field] = $value;
            } elseif ((Shapes::MESSAGES[$name][$field] ?? 'bytes') !== 'bytes') {
                throw new \UnexpectedValueException("$field of $name: " . json_last_error_msg());
            }
        }
        $record = new self($name, $fields, $body);
        $record->texts = $texts;

        return $record;
    }
}
