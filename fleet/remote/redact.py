"""Secrets taken out of what a run writes, by value and by the name before an equals sign.

It works on bytes, on every line before it becomes a frame, so that no log holds what came to the host as a secret.
"""

from __future__ import annotations

import re

#: Shorter values are not looked for: they would be found in innocent text.
SHORTEST = 6
HIDDEN = b"[redacted]"

#: `NAME=value` with one of these words in the name, alone or between underscores.
WORDS = (b"KEY", b"TOKEN", b"SECRET", b"PASSWORD")
_NAMED = re.compile(
    rb"(?<![A-Z0-9_])((?:[A-Z0-9]+_)*(?:KEY|TOKEN|SECRET|PASSWORD)(?:_[A-Z0-9]+)*=)(?!\[redacted\])(['\"]?)[^\s'\"]{6,}"
)
#: The same while its value may go on.
_OPEN = re.compile(rb"(?<![A-Z0-9_])(?:[A-Z0-9]+_)*(?:KEY|TOKEN|SECRET|PASSWORD)(?:_[A-Z0-9]+)*=\S*\Z")


class Redactor:
    """Takes known values, and values behind telling names, out of text."""

    def __init__(self, values: list[str]) -> None:
        """`values` are secrets; those shorter than 6 characters are left alone."""
        long = {value.encode("utf-8", "surrogateescape") for value in values if len(value) >= SHORTEST}
        # The longest first: one secret may contain another.
        self._values = sorted(long, key=len, reverse=True)

    def touches(self, text: bytes) -> bool:
        """Whether `clean` may change a text; quick enough for a flood."""
        return any(value in text for value in self._values) or any(word in text for word in WORDS)

    def clean(self, text: bytes) -> bytes:
        """The text without secrets."""
        for value in self._values:
            text = text.replace(value, HIDDEN)
        return _NAMED.sub(rb"\1\2" + HIDDEN, text)

    def unsure(self, text: bytes) -> int:
        """How many bytes at the end of an unfinished text may be the beginning of a secret, to be held back."""
        match = _OPEN.search(text) if any(word in text for word in WORDS) else None
        longest = 0 if match is None else len(text) - match.start()
        for value in self._values:
            for size in range(min(len(value) - 1, len(text)), longest, -1):
                if text.endswith(value[:size]):
                    longest = size
                    break
        return longest
