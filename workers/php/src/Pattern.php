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

    private readonly string $expression;

    /** @var array{int, int, int} literal characters, `*` and `?`, each as it counts for {@see self::compare()} */
    private readonly array $rank;

    /** @throws \LogicException when it is empty, or ends with a backslash */
    public function __construct(public readonly string $text)
    {
        if (preg_match('~^(?:[^\\\\]|\\\\.)+$~Dsu', $text) !== 1) {
            throw new \LogicException("expected a pattern such as \"chat:*\", found \"$text\"");
        }
        preg_match_all('~\*+|\?|\\\\.|[^*?\\\\]~su', $text, $tokens);
        $literal = $expression = '';
        [$characters, $stars, $marks] = [0, 0, 0];
        foreach ($tokens[0] as $token) {
            if ($token[0] === '*') {
                ++$stars;
                $expression .= '.*';
            } elseif ($token === '?') {
                ++$marks;
                $expression .= '.';
            } else {
                ++$characters;
                $character = $token[0] === '\\' ? substr($token, 1) : $token;
                $literal .= $character;
                $expression .= preg_quote($character, '~');
            }
        }
        $this->literal = $stars + $marks === 0 ? $literal : null;
        $this->expression = "~^$expression\$~Dsu";
        $this->rank = [-$characters, $stars, -$marks];
    }

    public function matches(string $subject): bool
    {
        return preg_match($this->expression, $subject) === 1;
    }

    /** Less than zero if this one is more specific: more literal characters, then fewer `*`, then more `?`. */
    public function compare(self $other): int
    {
        return $this->rank <=> $other->rank;
    }
}
