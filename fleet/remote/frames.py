"""The frames of a run's log: one line per record, so that a follower can prove that it lost and repeated nothing.

    seq <tab> unix_ms <tab> node <tab> rank <tab> stream <tab> flags <tab> text <newline>

`seq` counts from 1 through all attempts of a run without a gap. `rank` is a global rank, or `-` for what no rank wrote.
`text` is valid UTF-8 without control bytes; `unescape` gives back the very bytes that the run wrote. Frames are kept in
segments, files named by the logical offset of their first byte; a position in the log is one integer, the sum.
"""

from __future__ import annotations

import re
from typing import NamedTuple

#: A whole line, or the last piece of one.
WHOLE = "-"
#: Continued by the next frame of the same stream and rank.
CONTINUED = "c"
#: The segment ends here; the text is the file name of the next one.
NEXT = "n"
#: The attempt ended; the text is JSON `{"state", "exit"}`. It ends its segment: what comes later is in another one.
END = "e"

#: What the run wrote on its two outputs, and what its supervisor adds.
OUT, ERR, FLEET = "out", "err", "fleet"

#: Bytes after which a segment is closed and another one begun.
SEGMENT_BYTES = 64 << 20
#: Bytes of a line, before escaping, that one frame holds; longer lines are continued.
PIECE_BYTES = 16 << 10

_SEGMENT = re.compile(r"([0-9]{20})\.seg")
_LINE = re.compile(
    rb"([1-9][0-9]{0,18})\t([0-9]{1,16})\t([0-9]{1,6})\t(-|[0-9]{1,9})\t(out|err|fleet)\t([-cne])\t([^\t\x00-\x1f\x7f]*)"
)
#: Bytes that stand for themselves: printable ASCII but for the backslash.
PLAIN = bytes(byte for byte in range(0x20, 0x7F) if byte != 0x5C)
# C0, DEL, C1, the line and paragraph separators and the direction overrides of Unicode; undecodable bytes are here as
# lone surrogates.
_ODD = re.compile("[\x00-\x1f\\\\\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\udc80-\udcff]")
_SHORT = {"\t": "\\t", "\r": "\\r", "\n": "\\n", "\\": "\\\\"}
_ESCAPE = re.compile(rb"\\(?:([trn\\])|x([0-9a-f]{2})|u([0-9a-f]{4}))")
_LONG = {b"t": b"\t", b"r": b"\r", b"n": b"\n", b"\\": b"\\"}


class Frame(NamedTuple):
    """One record of a log."""

    seq: int
    time_ms: int
    """Unix time in milliseconds at which the supervisor read it."""
    node: int
    """Rank of the node in its group, 0 for a run on one host."""
    rank: int | None
    """Global rank of the process that wrote it; None for the launcher and for the supervisor."""
    stream: str
    """`out`, `err` or `fleet`."""
    flags: str
    """`-`, `c`, `n` or `e`."""
    text: str
    """Escaped: it holds no control character."""

    def content(self) -> bytes:
        """The text as it was written, byte for byte (without the newline)."""
        return unescape(self.text)

    def line(self) -> bytes:
        """The frame as a line of a segment, newline included."""
        rank = "-" if self.rank is None else self.rank
        return f"{self.seq}\t{self.time_ms}\t{self.node}\t{rank}\t{self.stream}\t{self.flags}\t{self.text}\n".encode()


def parse(line: bytes) -> Frame:
    """The frame in one line, given with or without its newline. Raises ValueError for what is no frame.

    A line that was torn by a dead supervisor and closed by the next one may be none; it is to be passed over.
    """
    match = _LINE.fullmatch(line[:-1] if line.endswith(b"\n") else line)
    if match is None:
        raise ValueError(f"not a log frame: {line[:80]!r}")
    seq, time_ms, node, rank, stream, flags, text = match.groups()
    return Frame(
        int(seq),
        int(time_ms),
        int(node),
        None if rank == b"-" else int(rank),
        stream.decode("ascii"),
        flags.decode("ascii"),
        text.decode("utf-8"),
    )


def escape(content: bytes) -> bytes:
    """Any bytes as UTF-8 text without control characters.

    A byte that is not UTF-8 becomes `\\xNN`, a control character `\\t`, `\\r`, `\\xNN` or `\\uNNNN`, a backslash two.
    """
    if not content.translate(None, PLAIN):
        return content
    text = content.decode("utf-8", "surrogateescape")
    return _ODD.sub(_escaped, text).encode("utf-8")


def unescape(text: str) -> bytes:
    """The bytes that `escape` was given."""
    return _ESCAPE.sub(_unescaped, text.encode("utf-8"))


def segment_name(offset: int) -> str:
    """File name of the segment whose first byte has this logical offset."""
    return f"{offset:020d}.seg"


def segment_offset(name: str) -> int | None:
    """Logical offset of a segment's first byte, or None for a name that is no segment's."""
    match = _SEGMENT.fullmatch(name)
    return int(match[1]) if match else None


def _escaped(match: re.Match[str]) -> str:
    character = match[0]
    if character in _SHORT:
        return _SHORT[character]
    number = ord(character)
    if number >= 0xDC80 and number <= 0xDCFF:
        return f"\\x{number - 0xDC00:02x}"
    return f"\\x{number:02x}" if number < 0x80 else f"\\u{number:04x}"


def _unescaped(match: re.Match[bytes]) -> bytes:
    short, byte, character = match.groups()
    if short is not None:
        return _LONG[short]
    return bytes([int(byte, 16)]) if byte is not None else chr(int(character, 16)).encode("utf-8")
