"""Stdout and stderr of a command: without secrets, and with a word for output that cannot be written.

One place that all printed text passes, because one forgotten print is enough. What is passed on byte for byte (`fleet
run`, the log of a run) goes around the secrets by `buffer`, and not around the word.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator
from typing import Any, BinaryIO, Final, TextIO, cast

from fleet.errors import RemoteFailed
from fleet.redaction import Redactor

#: What a shell shows of a program that SIGPIPE ended: nobody reads on, as after `fleet runs | head`.
NOBODY_READS: Final = 141


class OutputRefused(Exception):
    """What was printed could not be written: a full disk, or a reader that is gone. The operating system's error is its
    cause. It is none of the errors that commands handle, since whatever they would say has nowhere to go.
    """

    def __init__(self, reason: OSError, stream: BinaryIO | TextIO) -> None:
        super().__init__(reason.strerror or str(reason))
        self._gone, self._stream = isinstance(reason, BrokenPipeError), stream

    def told(self) -> int:
        """Give the output up, say why on stderr, and return the exit code. A reader that is gone wants no word."""
        abandon(self._stream)
        if self._gone:
            return NOBODY_READS
        sys.stderr.write(f"fleet: output cannot be written: {self}\n")
        return RemoteFailed.exit_code


class Redacted:
    """A text stream that takes secrets out of each text that is written. Everything else is the stream's own."""

    def __init__(self, inner: TextIO, redactor: Redactor) -> None:
        self._inner, self._redactor = inner, redactor

    def write(self, text: str) -> int:
        """Write the text without its secrets; callers write whole messages. Raises OutputRefused."""
        with _refused(self._inner):
            self._inner.write(self._redactor.text(text))
        return len(text)

    def flush(self) -> None:
        """Write what waits. Raises OutputRefused."""
        with _refused(self._inner):
            self._inner.flush()

    @property
    def buffer(self) -> Passed:
        """The stream for bytes."""
        return Passed(self._inner.buffer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class Remarks(Redacted):
    """Stderr. A remark that cannot be written must not end what it speaks of: it and all later ones are left out."""

    def write(self, text: str) -> int:
        """Write the text without its secrets, if it can be."""
        try:
            return super().write(text)
        except OutputRefused:
            abandon(self._inner)
            return len(text)

    def flush(self) -> None:
        """Write what waits, if it can be."""
        try:
            super().flush()
        except OutputRefused:
            abandon(self._inner)


class Passed:
    """A stream of bytes that are passed on as they are."""

    def __init__(self, inner: BinaryIO) -> None:
        self._inner = inner

    def write(self, data: bytes) -> int:
        """Write the bytes. Raises OutputRefused."""
        with _refused(self._inner):
            return self._inner.write(data)

    def flush(self) -> None:
        """Write what waits. Raises OutputRefused."""
        with _refused(self._inner):
            self._inner.flush()


@contextlib.contextmanager
def redacted(redactor: Redactor) -> Generator[None]:
    """Take secrets out of everything that is printed inside."""
    before = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, Redacted(before[0], redactor))
    sys.stderr = cast(TextIO, Remarks(before[1], redactor))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def abandon(stream: BinaryIO | TextIO) -> None:
    """Let a stream that takes nothing more end in nothing: Python would try once more, and complain, at its end."""
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, stream.fileno())
    os.close(sink)


@contextlib.contextmanager
def _refused(stream: BinaryIO | TextIO) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise OutputRefused(error, stream) from error
