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
        $values = [];
        $decoded = $context === '' ? [] : json_decode($context, true, flags: JSON_THROW_ON_ERROR);
        foreach (is_array($decoded) ? $decoded : [] as $name => $list) {
            $values[(string) $name] = array_values(array_map(strval(...), array_filter((array) $list, is_scalar(...))));
        }

        return new self($values);
    }

    /** The first value of a header; null when it was not sent. The name's case does not matter. */
    public function get(string $name): ?string
    {
        return $this->values[strtolower($name)][0] ?? null;
    }

    /** @return array<string, list<string>> all values */
    public function all(): array
    {
        return $this->values;
    }
}
