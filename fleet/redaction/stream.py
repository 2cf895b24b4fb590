"""Redacting text that arrives in pieces, with the same result as if it had come whole.

What may be the beginning of a secret is held back until the next piece decides; the value of a secret name is hidden
from its first character on, so nothing of a long one waits or is lost.
"""

from __future__ import annotations

from collections.abc import Sequence

from fleet.redaction.assignments import LONGEST, Form, end_of, next_value, partial

Span = tuple[int, int]


class Stream:
    """One text in pieces. `feed` gives what is safe to show, `flush` the rest; text, or bytes read as Latin-1.

    `values` are the secrets, `mask` what stands for one: it must have a character that is in none of them, so that no
    secret can be made of a mask and what is beside it.
    """

    def __init__(self, values: Sequence[str], mask: str) -> None:
        self._values, self._mask = values, mask
        self._context = ""  # what was shown last, as it came: a name may have begun there
        self._pending = ""
        self._scanned = 0  # from where in `_pending` a name, or the value of one, is still to be searched
        self._open: Form | None = None  # the value of a name that goes on at `_scanned`
        self._spans: list[Span] = []  # what of `_pending` is to be hidden
        self._hiding = False  # whether a mask was the last thing shown

    def feed(self, piece: str) -> str:
        """The part of the text up to here that no later piece can make secret."""
        self._pending += piece
        self._find_names()
        return self._show(min(self._possible_value(), self._scanned))

    def flush(self) -> str:
        """The rest: the text ends here."""
        self._find_names()
        return self._show(len(self._pending))

    def _find_names(self) -> None:
        before = len(self._context)
        text = self._context + self._pending
        while True:
            at = before + self._scanned
            if self._open is None:
                value = next_value(text, at)
                if value is None:
                    break
                at, self._open = value.start, value.form
            end, closed = end_of(text, at, self._open)
            if end > at:
                self._spans.append((at - before, end - before))
            self._scanned = end - before
            if not closed:
                break
            self._open = None
        if self._open is None:
            self._scanned = max(self._scanned, partial(text, before + self._scanned) - before)

    def _possible_value(self) -> int:
        """From where the end of what is pending may be the beginning of a secret value."""
        text, earliest = self._pending, len(self._pending)
        for value in self._values:
            at = text.find(value[0], max(0, len(text) - len(value) + 1))
            while -1 < at < earliest and not value.startswith(text[at:]):
                at = text.find(value[0], at + 1)
            if -1 < at < earliest:
                earliest = at
        return earliest

    def _show(self, end: int) -> str:
        spans = merged([*self._spans, *occurrences(self._pending, self._values)])
        shown, at = [], 0
        for start, stop in spans:
            if start >= end:
                break
            shown.append(self._pending[at:start])
            if start > at or not self._hiding:
                shown.append(self._mask)
            at, self._hiding = min(stop, end), True
        if at < end:
            shown.append(self._pending[at:end])
            self._hiding = False
        self._context = (self._context + self._pending[:end])[-LONGEST:]
        self._pending = self._pending[end:]
        self._scanned -= end
        self._spans = [(max(0, start - end), stop - end) for start, stop in spans if stop > end]
        return "".join(shown)


def occurrences(text: str, values: Sequence[str]) -> list[Span]:
    """Where the values stand in the text, overlapping ones included."""
    found = []
    for value in values:
        at = text.find(value)
        while at >= 0:
            found.append((at, at + len(value)))
            at = text.find(value, at + 1)
    return found


def merged(spans: list[Span]) -> list[Span]:
    """The same places in order, those that touch joined."""
    result: list[Span] = []
    for start, stop in sorted(spans):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(stop, result[-1][1]))
        else:
            result.append((start, stop))
    return result
