"""Stdout and stderr without secrets: one place that all printed text passes, because one forgotten print is enough.

What is passed on byte for byte (`fleet run`, the log of a run) goes around it by `buffer`.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from typing import Any, TextIO, cast

from fleet.redaction import Redactor


class Redacted:
    """A text stream that takes secrets out of each text that is written. Everything else is the stream's own."""

    def __init__(self, inner: TextIO, redactor: Redactor) -> None:
        self._inner, self._redactor = inner, redactor

    def write(self, text: str) -> int:
        """Write the text without its secrets; callers write whole messages."""
        self._inner.write(self._redactor.text(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


@contextlib.contextmanager
def redacted(redactor: Redactor) -> Generator[None]:
    """Take secrets out of everything that is printed inside."""
    before = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, Redacted(before[0], redactor))
    sys.stderr = cast(TextIO, Redacted(before[1], redactor))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
