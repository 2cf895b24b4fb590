"""Bytes from one output of a run made into frames: lines split, secrets taken out, escaped and numbered.

Blocks of ordinary lines go through a path of a few operations for all of them, because a run may write faster than its
text could be looked at line by line.
"""

from __future__ import annotations

import re
import time
from typing import Callable

from fleet.remote.frames import CONTINUED, PIECE_BYTES, PLAIN, WHOLE, escape
from fleet.remote.redact import Redactor

#: Seconds after which the beginning of a line is written without waiting for its end.
FLUSH_AFTER = 0.25

_PLAIN_LINES = PLAIN + b"\n"
#: What torchrun puts before each line of a worker: `[default0]:`, with the worker's rank on its host.
_PREFIX = re.compile(rb"\[default([0-9]{1,6})\]:")


class Framer:
    """Makes the frames of one output."""

    def __init__(
        self,
        stream: str,
        number: Callable[[int], int],
        redactor: Redactor,
        *,
        node: int = 0,
        launched: bool = False,
        first_rank: int = 0,
    ) -> None:
        """`number` reserves so many sequence numbers and returns the first. `first_rank` is the lowest rank of this
        host; with `launched`, a launcher puts each line's rank before it, and lines without one are the launcher's."""
        self._stream, self._number, self._redactor, self._node = stream, number, redactor, node
        self._launched, self._first_rank = launched, first_rank
        self._rest = b""
        self._begun = False
        """Whether a part of the present line was written already."""
        self._rank: int | None = first_rank
        self._since: float | None = None
        self.heard = False
        """Whether the trainer itself has written anything."""

    def feed(self, data: bytes) -> bytes:
        """Take what was read; returns the frames of all lines that are whole now."""
        pending = self._rest + data
        cut = pending.rfind(b"\n")
        if cut < 0:
            self._rest = pending
            frames = self._full_pieces() if len(pending) > 2 * PIECE_BYTES else b""
        else:
            whole, self._rest = pending[:cut], pending[cut + 1 :]
            frames = self._block(whole) or b"".join([self._line(line) for line in whole.split(b"\n")])
        if not self._rest:
            self._since = None
        elif self._since is None or cut >= 0:
            # From the first byte that waits, so that a slow drip is not held back for ever.
            self._since = time.monotonic()
        return frames

    @property
    def flush_at(self) -> float | None:
        """Monotonic time at which the begun line is to be written; None if nothing waits."""
        return None if self._since is None else self._since + FLUSH_AFTER

    def flush(self) -> bytes:
        """Write the beginning of a line whose end does not come, but for what may be the beginning of a secret."""
        self._since = None
        text, self._rest = self._sure()
        return self._pieces(text, CONTINUED) if text else b""

    def close(self) -> bytes:
        """Write what is left when the output has ended, as a whole line."""
        rest, self._rest, self._since = self._rest, b"", None
        return self._line(rest) if rest or self._begun else b""

    def _block(self, whole: bytes) -> bytes:
        """The frames of a block of lines at once; empty if they need to be looked at one by one."""
        if self._begun or self._launched or self._redactor.touches(whole):
            return b""
        lines = whole.split(b"\n")
        if len(whole) > PIECE_BYTES and len(max(lines, key=len)) > PIECE_BYTES:
            return b""
        if whole.translate(None, _PLAIN_LINES):
            lines = [escape(line) for line in lines]
        self.heard = True
        first, head = self._number(len(lines)), self._head(WHOLE)
        return b"".join([b"%d%s%s\n" % (number, head, line) for number, line in enumerate(lines, first)])

    def _line(self, line: bytes) -> bytes:
        return self._pieces(self._redactor.clean(line) if self._redactor.touches(line) else line, WHOLE)

    def _full_pieces(self) -> bytes:
        """The beginning of a line that is longer than a frame although its end has not come."""
        text, unsure = self._sure()
        size = len(text) - len(text) % PIECE_BYTES
        self._rest = text[size:] + unsure
        return self._pieces(text[:size], CONTINUED) if size else b""

    def _sure(self) -> tuple[bytes, bytes]:
        """The unfinished line without secrets, and its end if that may be the beginning of one."""
        text = self._redactor.clean(self._rest) if self._redactor.touches(self._rest) else self._rest
        size = len(text) - self._redactor.unsure(text)
        return text[:size], text[size:]

    def _pieces(self, text: bytes, flags: str) -> bytes:
        """Frames of a text, all but the last one continued."""
        if not self._begun:
            text = self._without_rank(text)
        self.heard = self.heard or self._rank is not None
        frames = []
        for at in range(0, len(text) or 1, PIECE_BYTES):
            piece = text[at : at + PIECE_BYTES]
            last = at + PIECE_BYTES >= len(text)
            frames.append(b"%d%s%s\n" % (self._number(1), self._head(flags if last else CONTINUED), escape(piece)))
        self._begun = flags == CONTINUED
        return b"".join(frames)

    def _without_rank(self, text: bytes) -> bytes:
        if not self._launched:
            return text
        match = _PREFIX.match(text)
        self._rank = self._first_rank + int(match[1]) if match else None
        return text[match.end() :] if match else text

    def _head(self, flags: str) -> bytes:
        """What stands between number and text."""
        rank = "-" if self._rank is None else self._rank
        return f"\t{int(time.time() * 1000)}\t{self._node}\t{rank}\t{self._stream}\t{flags}\t".encode("ascii")
