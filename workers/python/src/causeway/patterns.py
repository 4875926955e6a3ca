"""Patterns of methods and channels: the globs of ``centrifuge.pools``, and which of two is more specific."""

from __future__ import annotations

import re
from typing import Union


class Pattern:
    """A glob.

    ``*`` stands for any characters, even none and also ``.``, ``:`` and ``/``, ``?`` for one, and a backslash makes the next
    character literal.
    """

    __slots__ = ("_regex", "literal", "rank", "text")

    def __init__(self, text: str) -> None:
        """Compile a pattern; raise ``ValueError`` when it is empty or ends with a backslash."""
        parts = _parse(text)
        characters = sum(len(part) for part in parts if isinstance(part, str))
        several, single = parts.count(_SEVERAL), parts.count(_SINGLE)
        self.text = text
        self.literal = "".join(map(str, parts)) if not several and not single else None
        """The only text that it matches, if it has no wildcard."""
        self.rank = (self.literal is None, -characters, several, -single)
        """Patterns with a lower rank are more specific."""
        self._regex = re.compile(_expression(parts), re.DOTALL)

    @property
    def matches_all(self) -> bool:
        """Whether it matches every text."""
        return self.rank == _ALL

    def matches(self, text: str) -> bool:
        """Whether it matches all of ``text``, in time proportional to its length."""
        return self._regex.fullmatch(text) is not None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pattern) and self._regex == other._regex

    def __hash__(self) -> int:
        return hash(self._regex)


_SEVERAL, _SINGLE = 0, 1
_ALL = (True, 0, 1, 0)


def _parse(text: str) -> list[Union[str, int]]:
    parts: list[Union[str, int]] = []
    characters = iter(text)
    for character in characters:
        if character == "*":
            if parts[-1:] != [_SEVERAL]:
                parts.append(_SEVERAL)
        elif character == "?":
            parts.append(_SINGLE)
        else:
            literal = next(characters, "") if character == "\\" else character
            if not literal:
                parts = []
                break
            parts.append(literal)
    if not parts:
        raise ValueError(f'expected a pattern such as "chat:*", found {text!r}')
    return parts


def _expression(parts: list[Union[str, int]]) -> str:
    """Return a regular expression that never backtracks over more than one ``*``, whatever a client sends."""
    runs = [""]
    for part in parts:
        if part == _SEVERAL:
            runs.append("")
        else:
            runs[-1] += "." if part == _SINGLE else re.escape(str(part))
    if len(runs) == 1:
        return runs[0]
    first, *middle, last = runs
    # A lookahead keeps its first match: what an atomic group does from Python 3.11 on.
    found = "".join(rf"(?=(.*?{run}))\{number}" for number, run in enumerate(middle, 1))
    return f"{first}{found}.*{last}"
