"""Hiding known secrets, and whatever stands under a secret name, in text, bytes, JSON and argument lists."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any

from fleet.redaction.names import WORDS, is_hidden_name
from fleet.redaction.stream import Stream

#: Shorter values are ordinary words: hiding every `yes` would hide nothing of use and spoil every text.
SHORTEST = 6
_MASK_LENGTH = 3
_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_MASK_CHARACTERS = ["*", "#", "~", "_", *map(chr, range(33, 127)), *map(chr, range(1, 32))]


class Redactor:
    """Removes secrets. Its answers hold no value of `SHORTEST` characters or more that it was made with.

    Values are also found as JSON writes them. `mask` is what stands for a secret, `***` unless a secret has a star.
    """

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._values: set[str] = set()
        self.add(values)

    def add(self, values: Iterable[str]) -> None:
        """Hide these values, too, from now on; streams that were begun before do not know them."""
        self._values |= {form for value in values if len(value) >= SHORTEST for form in _forms(value)}
        self._text = tuple(sorted(self._values, key=len, reverse=True))
        self._bytes = tuple(value.encode("utf-8", "surrogatepass").decode("latin-1") for value in self._text)
        used = set("".join(self._text))
        self.mask = _MASK_LENGTH * next(mark for mark in _MASK_CHARACTERS if mark not in used)

    def text(self, text: str) -> str:
        """The text without secrets."""
        return self._redacted(text, self._text)

    def data(self, data: bytes) -> bytes:
        """The same for bytes, which need not be valid text."""
        return self._redacted(data.decode("latin-1"), self._bytes).encode("latin-1")

    def json(self, value: Any) -> Any:
        """A copy of plain JSON data with every text redacted, and every text and number under a secret name hidden."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._under(str(key), item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.json(item) for item in value]
        return value

    def argv(self, argv: Sequence[str]) -> tuple[str, ...]:
        """An argument list without secrets; the argument after an option with a secret name is hidden as well."""
        return tuple(self._arguments(argv))

    def stream(self) -> ByteStream:
        """A redactor of bytes that come in pieces; the pieces may cut a secret anywhere."""
        return ByteStream(Stream(self._bytes, self.mask))

    def _under(self, name: str, value: Any) -> Any:
        if not is_hidden_name(name) or value is None or isinstance(value, bool):
            return self.json(value)
        if isinstance(value, Mapping):
            return {self.text(str(key)): self._under(name, item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self._under(name, item) for item in value]
        return self.mask

    def _arguments(self, argv: Sequence[str]) -> Iterator[str]:
        for before, argument in zip(chain([""], argv), argv, strict=False):
            named = before.startswith("-") and "=" not in before and is_hidden_name(before.lstrip("-"))
            yield self.mask if named and not argument.startswith("--") else self._argument(argument)

    def _argument(self, argument: str) -> str:
        """One argument; unlike in running text, the value of a secret name goes on to its end."""
        parts = argument.split("=")
        for count, name in enumerate(parts[:-1], 1):
            if _NAME.fullmatch(name) and is_hidden_name(name.lstrip("-")):
                return self.text("=".join(parts[:count])) + "=" + self.mask
        return self.text(argument)

    def _redacted(self, text: str, values: Sequence[str]) -> str:
        # Most texts hold neither a value nor a name, and searching for fixed words is far cheaper than looking closely.
        lower = text.lower()
        if not any(word.lower() in lower for word in WORDS) and not any(value in text for value in values):
            return text
        stream = Stream(values, self.mask)
        return stream.feed(text) + stream.flush()


class ByteStream:
    """Bytes in pieces through a `Stream`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def feed(self, piece: bytes) -> bytes:
        """What of the bytes up to here is safe to show; what may be the beginning of a secret is held back."""
        return self._stream.feed(piece.decode("latin-1")).encode("latin-1")

    def flush(self) -> bytes:
        """What was held back: no more bytes come."""
        return self._stream.flush().encode("latin-1")


def _forms(value: str) -> set[str]:
    return {value, json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]}
