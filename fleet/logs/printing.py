"""Lines of a log as text for a terminal: what a run writes is hostile input, so nothing in it may command the terminal.

Escape sequences and control characters are taken out; a carriage return begins a line of its own, because what it would
overwrite shall stay to be seen; characters that change the direction of text, and would let a line read otherwise than
it is, are taken out too.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from fleet.logs.records import Ended, Gap, Line, LostRun, Reconnecting, Record, Row, Torn, Vanished
from fleet.remote.frames import CONTINUED, FLEET, WHOLE, Frame, escape

_SEQUENCE = re.compile(
    "(?:\x1b\\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor, modes
    "|(?:\x1b[\\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\\\|\x9c)"  # OSC, DCS, SOS, PM, APC
    "|\x1b[ -/]*[0-~]"  # two characters and character sets
)
# All other controls but tab and carriage return, line and paragraph separators, direction marks and overrides,
# invisible tags.
_CONTROL = re.compile(
    "[\x00-\x08\x0a-\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\U000e0000-\U000e007f]"
)
_RETURN = re.compile("\r+")


def clean(text: str) -> str:
    """A text that a terminal only shows. Carriage returns are left; `Printer` makes lines of them."""
    return _CONTROL.sub("", _SEQUENCE.sub("", text))


@dataclass(frozen=True, slots=True)
class Filter:
    """Which frames are shown."""

    rank: int | None = None
    pattern: re.Pattern[str] | None = None

    def takes(self, frame: Frame) -> bool:
        """Whether a frame is a line of the run, or a piece of one, that is asked for."""
        if frame.flags not in (WHOLE, CONTINUED) or (self.rank is not None and frame.rank != self.rank):
            return False
        return self.pattern is None or bool(self.pattern.search(frame.content().decode("utf-8", "replace")))


class Printer:
    """Writes the lines of one or several nodes; pieces of a long line are put together again where nothing came
    between them.
    """

    def __init__(self, write: Callable[[bytes], object], *, raw: bool = False, prefixed: bool = False) -> None:
        """`raw` writes what the run wrote, byte for byte; `prefixed` puts `node/rank | ` before each line."""
        self._write, self._raw, self._prefixed = write, raw, prefixed
        self._open: tuple[str, int | None, str] | None = None

    def line(self, frame: Frame, node: str = "") -> None:
        """Write a frame of a node."""
        source = (node, frame.rank, frame.stream)
        text = self._text(frame, node if self._open != source else None)
        between = b"\n" if self._open is not None and self._open != source else b""
        continued = frame.flags == CONTINUED
        self._write(between + text + (b"" if continued else b"\n"))
        self._open = source if continued else None

    def finish(self) -> None:
        """End a line that is still open."""
        if self._open is not None:
            self._write(b"\n")
            self._open = None

    def _text(self, frame: Frame, node: str | None) -> bytes:
        """The text of a frame; with a node, it begins a line."""
        rank = "-" if frame.rank is None else frame.rank
        head = f"{node}/{rank} | " if self._prefixed else ""
        if frame.stream == FLEET:
            head += "fleet: "
        start = "" if node is None else head
        if self._raw:
            return start.encode() + frame.content()
        shown = clean(frame.content().decode("utf-8", "replace")).strip("\r")
        return (start + _RETURN.sub("\n" + head, shown)).encode()


def message(record: Record) -> str | None:
    """What is said of a record that is no line, on stderr; None for a line."""
    match record:
        case Reconnecting(reason, delay):
            return f"the link was lost ({_plain(reason)}); trying again in {delay:.1f} s"
        case Ended(state, exit):
            return f"the run ended: {_plain(state)}{_how(exit)}"
        case LostRun(reason):
            return f"the run is lost: {_plain(reason)}"
        case Vanished(reason):
            return f"the log has vanished: {_plain(reason)}"
        case Gap(expected, found, cursor):
            return f"error: the log has a gap: frame {expected} had to come, {found} came (cursor {cursor})"
        case Torn(data, cursor):
            return f"passed over {len(data):,} bytes that are no frame (cursor {cursor})"
        case Line() | Row():
            return None


def to_json(record: Record, node: str) -> dict[str, Any]:
    """A record for `--json`, told by its `kind`. `partial` says that a line's end is in the next one of its source."""
    match record:
        case Line(frame, cursor):
            return {
                "kind": "line",
                "host": node,
                "cursor": cursor,
                "seq": frame.seq,
                "time": frame.time_ms / 1000,
                "node": frame.node,
                "rank": frame.rank,
                "stream": frame.stream,
                "text": frame.content().decode("utf-8", "replace"),
                "partial": frame.flags == CONTINUED,
            }
        case Row(data, cursor):
            return {"kind": "row", "host": node, "cursor": cursor, "text": data.decode("utf-8", "replace")}
        case Torn(data, cursor):
            return {"kind": "torn", "host": node, "cursor": cursor, "bytes": len(data)}
        case Gap() | Reconnecting() | Ended() | Vanished() | LostRun():
            return {"kind": type(record).__name__.lower(), "host": node, **asdict(record)}


def _how(exit: dict[str, Any] | None) -> str:
    if not exit:
        return ""
    culprit = exit.get("culprit")
    parts = [f"{name} {exit[name]}" for name in ("code", "signal", "kind") if exit.get(name) is not None]
    if isinstance(culprit, dict):
        parts.append(f"rank {culprit.get('rank')}: {culprit.get('exception') or ''} {culprit.get('message') or ''}")
    return f" ({_plain(', '.join(parts).strip())})" if parts else ""


def _plain(text: str) -> str:
    return escape(text.encode("utf-8", "replace")).decode("utf-8")
