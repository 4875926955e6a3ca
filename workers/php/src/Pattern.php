<?php

declare(strict_types=1);

namespace Causeway;

/**
 * A pattern of methods or channels: `*` stands for any characters, even none, `?` for one, and a backslash makes the next one literal.
 *
 * No character is a separator, as in the server's `centrifuge.pools`.
 *
 * @internal
 */
final class Pattern
{
    /** The only text that it matches; null if it has wildcards. */
    public readonly ?string $literal;

    /** A regular expression that never goes back over more than one `*`, whatever a client sends. Equal patterns have equal ones. */
    public readonly string $expression;

    /** @var array{int, int, int} literal characters, `*` and `?`, each as it counts for {@see self::compare()} */
    private readonly array $rank;

    /** @throws \LogicException when it is empty, or ends with a backslash */
    public function __construct(public readonly string $text)
    {
        if (preg_match('~^(?:[^\\\\]|\\\\.)+$~Dsu', $text) !== 1) {
            throw new \LogicException("expected a pattern such as \"chat:*\", found \"$text\"");
        }
        preg_match_all('~\*+|\?|\\\\.|[^*?\\\\]~su', $text, $tokens);
        $literal = $run = '';
        $runs = [];
        [$characters, $marks] = [0, 0];
        foreach ($tokens[0] as $token) {
            if ($token[0] === '*') {
                $runs[] = $run;
                $run = '';
            } elseif ($token === '?') {
                ++$marks;
                $run .= '.';
            } else {
                ++$characters;
                $character = $token[0] === '\\' ? substr($token, 1) : $token;
                $literal .= $character;
                $run .= preg_quote($character, '~');
            }
        }
        $stars = count($runs);
        $this->literal = $stars + $marks === 0 ? $literal : null;
        $this->expression = '~^' . self::join($runs, $run) . '$~Dsu';
        $this->rank = [-$characters, $stars, -$marks];
    }

    /** Whether it matches every text. */
    public function matchesAll(): bool
    {
        return $this->rank === [0, 1, 0];
    }

    /** @throws WorkerException when that cannot be said: better than to take another handler */
    public function matches(string $subject): bool
    {
        $found = preg_match($this->expression, $subject);
        if ($found === false) {
            throw new WorkerException("cannot match the pattern \"$this->text\": " . preg_last_error_msg());
        }

        return $found === 1;
    }

    /** Less than zero if this one is more specific: more literal characters, then fewer `*`, then more `?`. */
    public function compare(self $other): int
    {
        return $this->rank <=> $other->rank;
    }

    /**
     * Runs with a `*` in between: the first place where a run fits is as good as any later one, except for the last run.
     *
     * @param list<string> $runs all but the last one
     */
    private static function join(array $runs, string $last): string
    {
        $first = array_shift($runs);
        $middle = array_map(static fn (string $run): string => "(?>.*?$run)", $runs);

        return $first === null ? $last : $first . implode('', $middle) . ".*$last";
    }
}
