"""Text from a run commands no terminal, and reads as what it is."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.logs import (
    Ended,
    Filter,
    Gap,
    Line,
    LostRun,
    Printer,
    Reconnecting,
    Row,
    Torn,
    Vanished,
    clean,
    message,
    to_json,
)
from fleet.remote.frames import Frame, escape

FORBIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c\u2028\u2029\U000e0000-\U000e007f]"
)


def frame(content: bytes, flags: str = "-", rank: int | None = 0, stream: str = "out", seq: int = 1) -> Frame:
    return Frame(seq, 1700000000123, 0, rank, stream, flags, escape(content).decode())


def printed(*frames: Frame | tuple[str, Frame], **options) -> str:
    out: list[bytes] = []
    printer = Printer(out.append, **options)
    for item in frames:
        node, each = item if not isinstance(item, Frame) else ("", item)
        printer.line(each, node)
    printer.finish()
    return b"".join(out).decode("utf-8", "surrogateescape")


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        (b"\x1b[31mred\x1b[0m", "red"),
        (b"\x1b[2J\x1b[Hgone", "gone"),
        (b"\x1b]0;title\x07text", "text"),
        (b"\x1b]52;c;ZXZpbA==\x1b\\text", "text"),
        (b"\x1b]8;;http://example.com\x1b\\link\x1b]8;;\x1b\\", "link"),
        (b"\x1bP1$r0m\x1b\\text", "text"),
        (b"\x1b]never ended", "never ended"),
        ("\u009b31mred\u009b0m".encode(), "red"),
        ("\u009d0;title\u009ctext".encode(), "text"),
        (b"\x1b\x1b[31m[31mx", "[31mx"),
        (b"\x1bcreset\x1b(Bset", "resetset"),
        ("abc\u202edef\u2066ghi".encode(), "abcdefghi"),
        (b"a\x08\x08b\x07c\x00d", "abcd"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"tab\there", "tab\there"),
    ],
)
def test_commands_are_taken_out(hostile: bytes, shown: str) -> None:
    assert printed(frame(hostile)) == shown + "\n"


def test_a_carriage_return_hides_nothing() -> None:
    assert printed(("a", frame(b"10%\r20%\r\r30%\r")), prefixed=True) == "a/0 | 10%\na/0 | 20%\na/0 | 30%\n"


@given(st.binary(max_size=60))
def test_nothing_that_commands_is_left(content: bytes) -> None:
    assert not FORBIDDEN.search(printed(frame(content)))
    assert not FORBIDDEN.search(clean(content.decode("utf-8", "replace")).replace("\r", ""))


@given(st.text(st.sampled_from("\x1b\x9b\x9d[]0;m\x07\\\u202ea\r"), max_size=30))
def test_sequences_inside_sequences_leave_nothing(text: str) -> None:
    assert not FORBIDDEN.search(printed(frame(text.encode())))


@given(st.binary(max_size=60))
def test_raw_is_what_was_written(content: bytes) -> None:
    assert printed(frame(content), raw=True).encode("utf-8", "surrogateescape") == content + b"\n"


def test_pieces_of_a_line_are_put_together_where_nothing_came_between() -> None:
    a, b, end = frame(b"one ", "c"), frame(b"two ", "c"), frame(b"three")
    other = frame(b"other", rank=1)
    assert printed(a, b, end) == "one two three\n"
    assert printed(("n", a), ("n", other), ("n", end), prefixed=True) == "n/0 | one \nn/1 | other\nn/0 | three\n"
    assert printed(a) == "one \n"


def test_prefixes_name_node_and_rank() -> None:
    assert printed(("h1", frame(b"x", rank=None)), ("h2", frame(b"y", rank=7)), prefixed=True) == "h1/- | x\nh2/7 | y\n"
    assert printed(frame(b"restarting", rank=None, stream="fleet")) == "fleet: restarting\n"


def test_filters() -> None:
    assert Filter(rank=1).takes(frame(b"x", rank=1)) and not Filter(rank=1).takes(frame(b"x", rank=None))
    assert Filter(pattern=re.compile("lo.s")).takes(frame(b"the loss"))
    assert not Filter(pattern=re.compile("lo.s")).takes(frame(b"the"))
    assert not Filter().takes(frame(b"{}", "e")) and not Filter().takes(frame(b"x.seg", "n"))


def test_messages_are_three_different_ones_and_safe() -> None:
    said = {message(Reconnecting("no\x1b[31m answer", 0.2)), message(Ended("completed")), message(Vanished("gone"))}
    assert len(said) == 3
    assert not FORBIDDEN.search("".join(map(str, said)))
    culprit = {"rank": 3, "exception": "ValueError", "message": "bad\x1b[2J"}
    told = message(Ended("failed", {"code": 1, "culprit": culprit}))
    assert "rank 3: ValueError bad" in told and "\x1b" not in told
    assert message(Torn(b"xx", 5)) and message(Line(frame(b"x"), 3)) is None


def test_json_has_cursor_and_text() -> None:
    line = to_json(Line(frame(b"a\x1bb", "c", rank=2, seq=9), 77), "h1")
    assert line == {
        "kind": "line", "cursor": 77, "seq": 9, "time": 1700000000.123, "host": "h1", "node": 0, "rank": 2,
        "stream": "out", "text": "a\x1bb", "partial": True,
    }  # fmt: skip
    others = [Row(b"{}", 3), Torn(b"ab", 4), Gap(1, 3, 9), Reconnecting("r", 0.5), Ended("failed", {"code": 1})]
    for record in [*others, Vanished("gone"), LostRun("killed")]:
        told = to_json(record, "h1")
        assert json.loads(json.dumps(told)) == told
        assert told["kind"] == type(record).__name__.lower() and told["host"] == "h1"
