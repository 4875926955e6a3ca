<?php

declare(strict_types=1);

namespace Causeway\Worker;

/** The metadata that Centrifugo forwarded with a request. */
final class Headers
{
    /** @param array<string, list<string>> $values names are in lower case */
    public function __construct(private readonly array $values)
    {
    }

    /** From a request's context. */
    public static function fromContext(string $context): self
    {
        $decoded = $context === '' ? [] : json_decode($context, true, flags: JSON_THROW_ON_ERROR);

        return new self(is_array($decoded) ? $decoded : []);
    }

    /** The first value of a header; null when it was not sent. The name's case does not matter. */
    public function get(string $name): ?string
    {
        return self::texts($this->values[strtolower($name)] ?? [])[0] ?? null;
    }

    /** @return array<string, list<string>> all values */
    public function all(): array
    {
        return array_map(self::texts(...), $this->values);
    }

    /**
     * A context holds lists of texts. Somebody else's may not, which is looked at only when a header is asked for.
     *
     * @return list<string>
     */
    private static function texts(mixed $values): array
    {
        return array_values(array_map(strval(...), array_filter((array) $values, is_scalar(...))));
    }
}
