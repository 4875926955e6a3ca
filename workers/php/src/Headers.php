<?php

declare(strict_types=1);

namespace Causeway;

/** The headers of Centrifugo's call: those that it forwards, and its own, such as user-agent. */
final class Headers
{
    /** @param array<string, list<string>> $values by name, in lower case */
    public function __construct(private readonly array $values)
    {
    }

    /** Decodes a request's context. */
    public static function fromContext(string $context): self
    {
        $decoded = $context === '' ? [] : json_decode($context, true, flags: JSON_THROW_ON_ERROR);
        /** @var array<string, list<string>> $values as checked when it is read */
        $values = is_array($decoded) ? $decoded : [];

        return new self($values);
    }

    /** The first value of a header, or `$default` when it was not sent. Names are case-insensitive. */
    public function get(string $name, ?string $default = null): ?string
    {
        return self::strings($this->values[strtolower($name)] ?? [])[0] ?? $default;
    }

    /** @return array<string, list<string>> all values by name */
    public function all(): array
    {
        return array_map(self::strings(...), $this->values);
    }

    /**
     * Another server's context may hold more than lists of strings. Values are checked only when a header is read.
     *
     * @return list<string>
     */
    private static function strings(mixed $values): array
    {
        return array_values(array_map(strval(...), array_filter((array) $values, is_scalar(...))));
    }
}
