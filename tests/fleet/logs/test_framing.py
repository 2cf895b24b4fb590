"""Bytes to records: in whatever pieces they come, the same records, each with the position behind it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import Usage
from fleet.logs import Gap, Line, Row, Since, Torn, parse_since, records_of
from fleet.logs.framing import LINE_LIMIT, FrameFramer, RowFramer
from fleet.remote.frames import Frame, escape


def frame(seq: int, content: bytes = b"x", flags: str = "-") -> bytes:
    return Frame(seq, 1700000000000, 0, 0, "out", flags, escape(content).decode()).line()


@given(st.lists(st.binary(max_size=30), max_size=20), st.lists(st.integers(0, 400), max_size=10))
def test_the_pieces_do_not_matter(contents: list[bytes], cuts: list[int]) -> None:
    data = b"".join(frame(seq, content) for seq, content in enumerate(contents, 1))
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    framer = FrameFramer(100)
    records = [r for a, b in itertools.pairwise(bounds) for r in framer.feed(data[a:b])]
    assert [record.frame.content() for record in records] == contents
    assert framer.cursor == framer.position == 100 + len(data)
    for record in records:
        later = list(FrameFramer(record.cursor).feed(data[record.cursor - 100 :]))
        assert [line.frame.seq for line in later] == list(range(record.frame.seq + 1, len(contents) + 1))


def test_half_a_frame_is_none() -> None:
    framer = FrameFramer(0)
    whole = frame(1)
    assert list(framer.feed(whole[:-1])) == []
    assert (framer.cursor, framer.position) == (0, len(whole) - 1)
    assert framer.forget() == whole[:-1]
    assert [record.cursor for record in framer.feed(whole)] == [len(whole)]


def test_lines_that_are_no_frames_are_shown_and_do_not_count() -> None:
    data = frame(1) + b"garbage\n" + b"\x1b[2J\n" + frame(2) + frame(4)
    records = list(FrameFramer(0).feed(data))
    assert [type(record) for record in records] == [Line, Torn, Torn, Line, Gap, Line]
    assert (records[4].expected, records[4].found) == (3, 4)


@pytest.mark.parametrize("extra", [0, 5])
def test_a_line_without_end_does_not_fill_the_memory(extra: int) -> None:
    framer = FrameFramer(0)
    for _ in range(2 * LINE_LIMIT // (1 << 20) + extra):
        assert list(framer.feed(b"x" * (1 << 20))) == []
        assert framer._held <= LINE_LIMIT + (1 << 20)
    size = framer.position
    records = list(framer.feed(b"y\n" + frame(1)))
    assert [type(record) for record in records] == [Torn, Line]
    assert records[0].cursor == size + 2
    assert framer.kept() == frame(1), "what is kept continues nothing that was dropped"
    assert framer.cursor == size + 2 + len(frame(1))


def test_rows_are_lines_of_any_content() -> None:
    framer = RowFramer(7)
    assert list(framer.feed(b'{"a": 1}\n\nhalf')) == [Row(b'{"a": 1}', 16), Row(b"", 17)]
    assert list(framer.feed(b" done\n")) == [Row(b"half done", 27)]


def test_kept_bytes_are_read_again_and_holes_are_seen() -> None:
    data = b"".join(frame(seq) for seq in range(1, 7))
    size = len(frame(1))
    whole = list(records_of([(0, data[:50]), (50, data[50:])]))
    assert [record.frame.seq for record in whole] == [1, 2, 3, 4, 5, 6]
    holed = list(records_of([(0, data[: 2 * size + 5]), (4 * size, data[4 * size :])]))
    assert [type(record) for record in holed] == [Line, Line, Gap, Line, Line]
    assert [record.cursor for record in holed[3:]] == [5 * size, 6 * size]


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("0", Since(cursor=0)),
        ("123456", Since(cursor=123456)),
        ("10m", Since(seconds=600)),
        ("2d", Since(seconds=172800)),
    ],
)
def test_since_is_a_cursor_or_an_age(text: str, since: Since) -> None:
    assert parse_since(text) == since


@pytest.mark.parametrize("text", ["", "-1", "10", "1.5h", "m", "10 m", "10M", "9" * 30, "١"])
def test_other_values_of_since_are_refused(text: str) -> None:
    if text == "10":
        assert parse_since(text) == Since(cursor=10)
        return
    with pytest.raises(Usage, match="--since"):
        parse_since(text)
