<?php

declare(strict_types=1);

namespace Causeway;

/**
 * The handlers of one type of event that take some of its methods or channels. The most specific pattern wins.
 *
 * @internal
 */
final class Routes
{
    /** How many subjects are remembered with their handlers, and of what length in bytes; clients choose them. */
    private const REMEMBERED = 1024;
    private const MAX_LENGTH = 255;

    /** @var array<string, Handler> by what they match, which has no wildcard */
    private array $exact = [];

    /** @var list<array{Pattern, Handler}> those with wildcards, the most specific first */
    private array $patterns = [];

    /** @var array<string, Handler|null> what was found among the patterns, by subject */
    private array $found = [];

    /** @param string $subject the property of requests that patterns match */
    public function __construct(private readonly string $subject)
    {
    }

    /** Takes a handler; returns the one that has this pattern already. */
    public function add(Pattern $pattern, Handler $handler): ?Handler
    {
        if ($pattern->literal !== null) {
            $taken = $this->exact[$pattern->literal] ?? null;
            $this->exact[$pattern->literal] ??= $handler;

            return $taken;
        }
        foreach ($this->patterns as [$other, $taken]) {
            if ($other->expression === $pattern->expression) {
                return $taken;
            }
        }
        $this->patterns[] = [$pattern, $handler];
        usort($this->patterns, static fn (array $one, array $other): int => $one[0]->compare($other[0]));
        $this->found = [];

        return null;
    }

    public function find(Request $request): ?Handler
    {
        /** @var string $subject */
        $subject = $request->{$this->subject};
        if (isset($this->exact[$subject]) || $this->patterns === []) {
            return $this->exact[$subject] ?? null;
        }
        if (strlen($subject) > self::MAX_LENGTH) {
            return $this->search($subject);
        }
        if (!array_key_exists($subject, $this->found)) {
            if (count($this->found) >= self::REMEMBERED) {
                $this->found = [];
            }
            $this->found[$subject] = $this->search($subject);
        }

        return $this->found[$subject];
    }

    private function search(string $subject): ?Handler
    {
        foreach ($this->patterns as [$pattern, $handler]) {
            if ($pattern->matches($subject)) {
                return $handler;
            }
        }

        return null;
    }
}
