"""Degenerate repetition: text that circles in itself (arXiv:1904.09751).

It is the usual sign of a model that is undertrained or decoded greedily.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

#: One token more often than this in a row, unless it is indentation or a ruler.
RUN: Final = 16
#: Tokens from which the two rules below apply.
LONG: Final = 64
#: Fewer different tokens than this in a long text.
DISTINCT: Final = 8
#: Rounds of one phrase back to back that make a loop, and the longest phrase looked for, in tokens.
ROUNDS: Final = 4
PHRASE: Final = 64


def repetitive(ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> bool:
    """Whether generated ids circle. True if any of these holds:

    - one token stands more than 16 times in a row and its text holds a letter or digit (so that indentation and rulers
      like `-----`, ordinary in code, do not count);
    - there are at least 64 tokens and fewer than 8 different ones;
    - one phrase of up to 64 tokens stands at least 4 times back to back over at least 64 tokens, rulers included.

    It is a flag for the reader of samples, not a verdict: nothing is dropped because of it.
    """
    if any(_wordlike(decode([token])) for token in _runs(ids)):
        return True
    if len(ids) < LONG:
        return False
    return len(set(ids)) < DISTINCT or any(_loops(ids, phrase) for phrase in range(1, min(PHRASE, len(ids)) + 1))


def _wordlike(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _runs(ids: Sequence[int]) -> set[int]:
    """The tokens that stand more than RUN times in a row."""
    found: set[int] = set()
    length = 0
    for place, token in enumerate(ids):
        length = length + 1 if place and ids[place - 1] == token else 1
        if length > RUN:
            found.add(token)
    return found


def _loops(ids: Sequence[int], phrase: int) -> bool:
    """Whether some stretch repeats with this period for long enough."""
    needed = max(LONG, ROUNDS * phrase)
    length = phrase
    for place in range(phrase, len(ids)):
        length = length + 1 if ids[place] == ids[place - phrase] else phrase
        if length >= needed:
            return True
    return False
