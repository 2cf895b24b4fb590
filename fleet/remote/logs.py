"""The log of a run as its supervisor keeps it: both outputs of the trainer as frames, and the end of each attempt."""

from __future__ import annotations

import collections
import json
from typing import Any

from fleet.remote.frames import ERR, OUT
from fleet.remote.framing import Framer
from fleet.remote.redact import Redactor
from fleet.remote.segments import Segments

#: Lines kept for whoever asks why a run died.
LAST_LINES = 20


class Log:
    """Takes bytes as they are read and appends frames; one for each supervisor, over all of its attempts."""

    def __init__(
        self, directory: str, redactor: Redactor, *, node: int = 0, launched: bool = False, first_rank: int = 0
    ) -> None:
        """Open the log behind what an earlier supervisor wrote. Raises OSError."""
        self._segments = Segments(directory, node)
        self._redactor, self._node, self._launched, self._first_rank = redactor, node, launched, first_rank
        self._framers: dict[str, Framer] = {}
        self._last: collections.deque[bytes] = collections.deque(maxlen=LAST_LINES)

    def begin(self) -> None:
        """An attempt begins: its frames are in a segment of their own."""
        self._segments.begin()
        self._last.clear()
        self._framers = {
            stream: Framer(
                stream,
                self._segments.number,
                self._redactor,
                node=self._node,
                launched=self._launched,
                first_rank=self._first_rank,
            )
            for stream in (OUT, ERR)
        }

    def take(self, stream: str, data: bytes) -> None:
        """Add what was read from one output."""
        self._append(self._framers[stream].feed(data))

    def ended(self, stream: str) -> None:
        """One output has ended: what it wrote without a newline is a line now."""
        self._append(self._framers[stream].close())

    def flush(self, now: float) -> None:
        """Write begun lines whose time has come, and what the disk refused before."""
        for framer in self._framers.values():
            if framer.flush_at is not None and framer.flush_at <= now:
                self._append(framer.flush())
        if self._segments.blocked:
            self._segments.write()

    def flush_at(self) -> float | None:
        """Monotonic time of the next begun line that is to be written; None if none waits."""
        times = [framer.flush_at for framer in self._framers.values() if framer.flush_at is not None]
        return min(times) if times else None

    def heard(self, stream: str) -> bool:
        """Whether the trainer itself has written to an output in this attempt."""
        return stream in self._framers and self._framers[stream].heard

    def say(self, text: str) -> None:
        """Add a line of the supervisor's own."""
        self._segments.say(text.encode("utf-8", "surrogatepass"))

    def end(self, state: str, exit: dict[str, Any] | None) -> None:
        """The attempt has ended; nothing follows in its segment."""
        for stream in self._framers:
            self.ended(stream)
        self._segments.end(json.dumps({"state": state, "exit": exit}, separators=(",", ":")).encode("ascii"))

    def close(self) -> None:
        """Put everything on the disk."""
        self._segments.close()

    @property
    def blocked(self) -> bool:
        """Whether the disk refuses, so that nothing more should be read from the trainer."""
        return self._segments.blocked

    @property
    def problem(self) -> OSError | None:
        """Why it refuses."""
        return self._segments.problem

    @property
    def offset(self) -> int:
        """Logical offset of the log's end."""
        return self._segments.offset

    def without_secrets(self, text: str) -> str:
        """Any text as the log would show it."""
        return self._redactor.clean(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def last_lines(self) -> list[str]:
        """The last lines of this attempt, escaped, oldest first."""
        return [line.decode("utf-8") for line in self._last]

    def _append(self, frames: bytes) -> None:
        if frames:
            self._segments.append(frames)
            for frame in frames.rsplit(b"\n", LAST_LINES + 1)[-LAST_LINES - 1 : -1]:
                self._last.append(frame.split(b"\t", 6)[6])
