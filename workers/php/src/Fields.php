<?php

declare(strict_types=1);

namespace Causeway;

/**
 * The fields of a decoded JSON object. One of another type counts as not set, and one that is not set is empty.
 *
 * @internal
 */
final class Fields
{
    /** @param array<mixed> $values */
    private function __construct(private readonly array $values)
    {
    }

    public static function of(mixed $object): self
    {
        return new self(is_array($object) ? $object : []);
    }

    /** Whether a field is set. */
    public function has(string $name): bool
    {
        return isset($this->values[$name]);
    }

    public function string(string $name): string
    {
        $value = $this->values[$name] ?? null;

        return is_scalar($value) ? (string) $value : '';
    }

    public function int(string $name): int
    {
        $value = $this->values[$name] ?? null;

        return is_numeric($value) ? (int) $value : 0;
    }

    public function float(string $name): float
    {
        $value = $this->values[$name] ?? null;

        return is_numeric($value) ? (float) $value : 0.0;
    }

    public function bool(string $name): bool
    {
        return ($this->values[$name] ?? null) === true;
    }

    public function mixed(string $name): mixed
    {
        return $this->values[$name] ?? null;
    }

    /** The fields of a nested object. */
    public function fields(string $name): self
    {
        return self::of($this->mixed($name));
    }

    /** @return list<self> the fields of each object in a list */
    public function list(string $name): array
    {
        return array_map(self::of(...), array_values((array) $this->mixed($name)));
    }

    /**
     * The texts of a list or an object.
     *
     * @return array<string>
     */
    public static function strings(mixed $values): array
    {
        return array_map(strval(...), array_filter((array) $values, is_scalar(...)));
    }

    /** @return array<string, mixed> all of them by name */
    public function all(): array
    {
        $all = [];
        foreach ($this->values as $name => $value) {
            $all[(string) $name] = $value;
        }

        return $all;
    }
}
