"""Finding the values of secret names in text: `NAME=value` and `"name": "value"`, also where the text is cut in two.

Whoever reads in pieces asks three things: where does a name with its sign end (`next_value`), where does the value end
(`end_of`), and from where could the rest of the text still be the beginning of such a name (`partial`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from fleet.redaction.names import PUBLIC, WORDS

#: How a value is written, which decides where it ends: in quotes, in quotes that are themselves escaped (JSON inside
#: JSON), or up to the next space.
Form = Literal["double", "single", "escaped", "bare", "number"]

_NAME_LENGTH = 64
_ESCAPE_LENGTH = 7  # backslashes before a quote that stands in JSON inside JSON inside JSON
_FLAGS = re.IGNORECASE | re.ASCII
_WORD = "|".join(WORDS)
_BEGINNINGS = "|".join(sorted({word[:length] for word in WORDS for length in range(1, len(word))}))
_TAIL = rf"(?![A-Za-z0-9])[A-Za-z0-9_-]{{0,{_NAME_LENGTH}}}"
_ESCAPES = rf"\\{{0,{_ESCAPE_LENGTH}}}"
_KEY = rf"{_ESCAPES}[\"'][ \t]{{0,2}}:[ \t]{{0,2}}"
_NAME = re.compile(rf"(?<![A-Za-z0-9])(?:{_WORD}){_TAIL}(?:(?P<equals>=(?!=))|{_KEY})", _FLAGS)
_PARTIAL = re.compile(
    rf"(?<![A-Za-z0-9])(?:{_BEGINNINGS}|(?:{_WORD})"
    rf"(?:{_TAIL}(?:={_ESCAPES}|{_ESCAPES}(?:[\"'][ \t]{{0,2}}(?::[ \t]{{0,2}}{_ESCAPES})?)?)?)?)\Z",
    _FLAGS,
)
#: No name with its sign and the first characters of its value is longer.
LONGEST = 128
_BACKSLASHES = re.compile(_ESCAPES)
_BEFORE = re.compile(r"[A-Za-z0-9_-]*\Z")
_CONTENT = {
    "double": re.compile(r"(?:[^\"\\\n]+|\\.)*"),
    "single": re.compile(r"(?:[^'\\\n]+|\\.)*"),
    "escaped": re.compile(r"[^\"'\n]*"),
    "bare": re.compile(r"[^\s\"']*", re.ASCII),
    "number": re.compile(r"[^\s,}\]]*", re.ASCII),
}


@dataclass(frozen=True, slots=True)
class Value:
    """Where the value of a secret name begins (inside its quotes) and how it is written."""

    start: int
    form: Form


def next_value(text: str, start: int) -> Value | None:
    """The first value of a secret name whose name begins at `start` or later.

    A name at the end of the text whose value has not begun is not reported; `partial` is where it begins.
    """
    for match in _NAME.finditer(text, start):
        before = _BEFORE.search(text, max(0, match.start() - _NAME_LENGTH), match.start())
        assert before is not None, "the pattern matches nothing at all, too"
        name = before.group() + re.split(r"[=\"'\\]", match.group(), maxsplit=1)[0]
        value = None if name in PUBLIC else _value_at(text, match.end(), match["equals"] is not None)
        if value is not None:
            return value
    return None


def end_of(text: str, start: int, form: Form) -> tuple[int, bool]:
    """Where a value ends that goes on at `start`, and whether that is certain; if not, it goes on in what follows."""
    content = _CONTENT[form].match(text, start)
    assert content is not None, "a value may be empty"
    end = content.end()
    if form in ("escaped", "bare"):
        # Backslashes before the closing quote belong to the quote; more than these are part of the value.
        tail = text[max(start, end - _ESCAPE_LENGTH) : end]
        end -= len(tail) - len(tail.rstrip("\\")) if _closes(text, end) else 0
    return end, content.end() < len(text) and not _lone_backslash(text, content.end())


def partial(text: str, start: int) -> int:
    """From where, at `start` or later, the end of the text may be the beginning of a secret name; else its length."""
    match = _PARTIAL.search(text, max(start, len(text) - LONGEST))
    return match.start() if match is not None else len(text)


def _value_at(text: str, start: int, equals: bool) -> Value | None:
    escapes = _BACKSLASHES.match(text, start)
    assert escapes is not None, "the pattern matches nothing at all, too"
    first = text[escapes.end() : escapes.end() + 1]
    if not first:
        return None
    if first in ('"', "'"):
        if escapes.group():
            return Value(escapes.end() + 1, "escaped")
        return Value(start + 1, "double" if first == '"' else "single")
    if equals:
        return Value(start, "bare")
    return Value(start, "number") if first.isdigit() or first == "-" else None


def _closes(text: str, end: int) -> bool:
    """Whether what ended a value is a quote, or may turn out to be one."""
    return text[end : end + 1] in ("", '"', "'")


def _lone_backslash(text: str, end: int) -> bool:
    """Whether the text ends in a backslash that escapes something not there yet."""
    return end == len(text) - 1 and text[end] == "\\"
