"""JSON with the line of every key and item, which `json` does not keep and a message must name.

Stricter than `json`: keys given twice are reported, NaN, infinities and numbers beyond 64 bits are refused, nesting is
limited. Whoever reads the result may rely on plain data.
"""

from __future__ import annotations

import json
import math
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str | int, ...]

MAX_DEPTH = 32
_MAX_INTEGER = 2**63
_SPACE = re.compile(r"[ \t\r\n]*")
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_DECODER = json.JSONDecoder()


class Malformed(ValueError):
    """Text that is not JSON, or JSON that nobody means: the line (from 1), the path reached, and what is wrong."""

    def __init__(self, line: int, path: Path, what: str) -> None:
        super().__init__(what)
        self.line, self.path, self.what = line, path, what


@dataclass(slots=True)
class Located:
    """Parsed JSON: `lines` has the line of every key and list item by its path, `()` being the whole text."""

    data: Any = None
    lines: dict[Path, int] = field(default_factory=dict)
    twice: list[tuple[Path, int]] = field(default_factory=list)
    """Keys that were given before in the same object, with the line of the repetition; their values are left out."""

    def line(self, path: Path) -> int:
        """The line of a path, or of the nearest part of it that exists."""
        while path not in self.lines:
            path = path[:-1]
        return self.lines[path]


def read(text: str) -> Located:
    """Parse JSON text. Raises Malformed at the first place that is no JSON."""
    return _Reader(text).document()


def written(path: Path) -> str:
    """A path as messages show it: `groups.pair.members[1]`."""
    parts = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        elif _PLAIN.fullmatch(part):
            parts.append(f".{part}" if parts else part)
        else:
            parts.append(f"[{json.dumps(part)}]")
    return "".join(parts)


class _Reader:
    """One pass over one text."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._newlines = [found.start() for found in re.finditer("\n", text)]
        self._found = Located()

    def document(self) -> Located:
        self._space()
        self._found.lines[()] = self._line()
        self._found.data = self._value(())
        self._space()
        if self._at < len(self._text):
            raise self._malformed((), f"found {self._shown()} after the end; expected nothing more")
        return self._found

    def _value(self, path: Path) -> Any:
        if len(path) > MAX_DEPTH:
            raise self._malformed(path[:2], f"found more than {MAX_DEPTH} levels inside each other")
        first = self._text[self._at : self._at + 1]
        if first == "{":
            return self._object(path)
        if first == "[":
            return self._list(path)
        return self._scalar(path)

    def _object(self, path: Path) -> dict[str, Any]:
        result: dict[str, Any] = {}
        if self._opens("}"):
            return result
        while True:
            key, line = self._key(path), self._line()
            below = (*path, key)
            self._expect(":", below)
            if key not in result:
                self._found.lines[below] = line
                result[key] = self._value(below)
            else:
                self._found.twice.append((below, line))
                self._skip(below)
            if self._ends("}", path):
                return result

    def _skip(self, path: Path) -> None:
        """Read a value whose places are not wanted."""
        kept, self._found.lines = self._found.lines, {}
        self._value(path)
        self._found.lines = kept

    def _list(self, path: Path) -> list[Any]:
        result: list[Any] = []
        if self._opens("]"):
            return result
        while True:
            below = (*path, len(result))
            self._found.lines[below] = self._line()
            result.append(self._value(below))
            if self._ends("]", path):
                return result

    def _key(self, path: Path) -> str:
        if self._text[self._at : self._at + 1] != '"':
            raise self._malformed(path, f"found {self._shown()}; expected a key in double quotes")
        return str(self._scalar(path))

    def _scalar(self, path: Path) -> Any:
        try:
            value, end = _DECODER.raw_decode(self._text, self._at)
        except json.JSONDecodeError as error:
            self._at = min(error.pos, len(self._text))
            raise self._malformed(path, f"found {self._shown()}; expected a JSON value ({error.msg})") from error
        except ValueError as error:  # an integer of thousands of digits, which Python refuses by itself
            raise self._malformed(path, "found an integer beyond 64 bits") from error
        fault = _fault(value)
        if fault is not None:
            raise self._malformed(path, fault)
        self._at = end
        return value

    def _opens(self, closing: str) -> bool:
        """Step into a container; whether it ends at once."""
        self._at += 1
        self._space()
        empty = self._text[self._at : self._at + 1] == closing
        self._at += empty
        return empty

    def _expect(self, sign: str, path: Path) -> None:
        self._space()
        if self._text[self._at : self._at + 1] != sign:
            raise self._malformed(path, f'found {self._shown()}; expected "{sign}"')
        self._at += 1
        self._space()

    def _ends(self, closing: str, path: Path) -> bool:
        """Step over what follows an item; whether that was the last one."""
        self._space()
        sign = self._text[self._at : self._at + 1]
        if sign not in (",", closing) or not sign:
            raise self._malformed(path, f'found {self._shown()}; expected "," or "{closing}"')
        self._at += 1
        if sign == closing:
            return True
        self._space()
        if self._text[self._at : self._at + 1] == closing:
            raise self._malformed(path, f'found "{closing}" after a comma; JSON has no comma after the last item')
        return False

    def _space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        assert found is not None, "the pattern matches nothing at all, too"
        self._at = found.end()

    def _line(self) -> int:
        return bisect_right(self._newlines, self._at - 1) + 1

    def _shown(self) -> str:
        if self._at >= len(self._text):
            return "the end of the file"
        if self._text.startswith(("//", "/*", "#"), self._at):
            return "a comment, which JSON does not have"
        return json.dumps(self._text[self._at])

    def _malformed(self, path: Path, what: str) -> Malformed:
        return Malformed(self._line(), path, what)


def _fault(value: Any) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"found {value}; expected a finite number"
    if isinstance(value, int) and not -_MAX_INTEGER <= value < _MAX_INTEGER:
        return "found an integer beyond 64 bits"
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        return "found half of a surrogate pair, which is no text"
    return None
