"""Frames hold any bytes, cut anywhere, and give them back; secrets never get into one."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.remote.frames import PIECE_BYTES, Frame, escape, parse, segment_name, segment_offset, unescape
from fleet.remote.framing import Framer
from fleet.remote.redact import Redactor

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
#: Text as runs write it, with everything that means something to a frame.
PIECES = st.lists(
    st.sampled_from(
        [b"step 1", b"\n", b"\t", b"\\", b"\\x41", b"\x00", b"\xff", "é".encode(), "\u2028".encode(), b"\r\n"]
    )
    | st.binary(max_size=30),
    max_size=40,
)


class Numbers:
    """Sequence numbers, as the log gives them."""

    def __init__(self) -> None:
        self.next = 1

    def __call__(self, count: int) -> int:
        first, self.next = self.next, self.next + count
        return first


def framed(chunks: list[bytes], *, flushes: bool = False, secrets: tuple[str, ...] = (), **options) -> list[Frame]:
    """The frames of an output that is read in these chunks."""
    framer = Framer("out", Numbers(), Redactor(list(secrets)), **options)
    lines = b""
    for chunk in chunks:
        lines += framer.feed(chunk)
        lines += framer.flush() if flushes else b""
    found = [parse(line) for line in (lines + framer.close()).split(b"\n")[:-1]]
    assert [frame.seq for frame in found] == list(range(1, len(found) + 1))
    return found


def content(frames: list[Frame]) -> bytes:
    """What was written, from its frames."""
    return b"".join(frame.content() + (b"\n" if frame.flags == "-" else b"") for frame in frames)


@given(st.binary())
def test_escaping_can_be_undone_and_controls_nothing(data: bytes) -> None:
    text = escape(data).decode("utf-8")
    assert unescape(text) == data
    assert not CONTROL.search(text)


@given(st.integers(1, 10**18), st.integers(0, 10**15), st.none() | st.integers(0, 10**6), st.binary(max_size=100))
def test_a_frame_is_read_as_it_was_written(seq: int, time_ms: int, rank: int | None, data: bytes) -> None:
    frame = Frame(seq, time_ms, 3, rank, "err", "c", escape(data).decode())
    assert parse(frame.line()) == frame == parse(frame.line()[:-1])
    assert frame.content() == data


@given(PIECES, st.booleans())
def test_any_output_cut_anywhere_is_given_back(chunks: list[bytes], flushes: bool) -> None:
    written = b"".join(chunks)
    wanted = written if written.endswith(b"\n") or not written else written + b"\n"
    frames = framed(chunks, flushes=flushes)
    assert content(frames) == wanted
    if not flushes:
        assert len(frames) == wanted.count(b"\n")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"1\t2\t0\t0\tout\t-",
        b"0\t2\t0\t0\tout\t-\ttext",
        b"1\t2\t0\tx\tout\t-\ttext",
        b"1\t2\t0\t0\tstdout\t-\ttext",
        b"1\t2\t0\t0\tout\tq\ttext",
        b"1\t2\t0\t0\tout\t-\ttext\ttab",
        b"1\t2\t0\t0\tout\t-\t\x1b[2J",
        b"1\t2\t0\t0\tout\t-\t\xff",
    ],
)
def test_what_is_no_frame_is_refused(line: bytes) -> None:
    with pytest.raises(ValueError):
        parse(line)


def test_long_lines_are_continued_in_pieces() -> None:
    line = bytes(range(33, 127)) * 1000
    for cut in (1000, PIECE_BYTES, 50_000, len(line)):
        frames = framed([line[at : at + cut] for at in range(0, len(line), cut)] + [b"\nnext\n"])
        assert content(frames) == line + b"\nnext\n"
        assert [frame.flags for frame in frames] == ["c"] * (len(frames) - 2) + ["-", "-"]
        assert all(len(frame.content()) <= PIECE_BYTES for frame in frames)


def test_ranks_are_read_from_what_a_launcher_puts_before_a_line() -> None:
    out = b"[default1]:loss 2\n[default0]:[default1]: is text\nW1120 torch warns\n[default3]:" + b"y" * 40_000 + b"\n"
    frames = framed([out[:25], out[25:]], launched=True, first_rank=8)
    assert [(frame.rank, frame.text[:14]) for frame in frames] == [
        (9, "loss 2"),
        (8, "[default1]: is"),
        (None, "W1120 torch wa"),
        (11, "y" * 14),
        (11, "y" * 14),
        (11, "y" * 14),
    ]


SECRETS = ("hunter2-hunter2", "abcdefgh", "abc")


@given(st.data())
def test_no_secret_gets_into_a_frame_wherever_it_is_cut(data: st.DataObject) -> None:
    words = data.draw(
        st.lists(st.sampled_from(["hunter2-hunter2", "abcdefgh", "hunter2-", " ", "\n", "abcd"]), max_size=12)
    )
    written = "".join(words).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(written)), max_size=6)))
    chunks = [written[a:b] for a, b in zip([0, *cuts], [*cuts, len(written)], strict=True)]
    shown = content(framed(chunks, flushes=data.draw(st.booleans()), secrets=SECRETS))
    assert b"hunter2-hunter2" not in shown and b"abcdefgh" not in shown


def test_values_behind_telling_names_are_hidden() -> None:
    redactor = Redactor([])
    assert redactor.clean(b"WANDB_API_KEY=0123456789 next") == b"WANDB_API_KEY=[redacted] next"
    assert redactor.clean(b'HF_TOKEN="hf_abcdef" x') == b'HF_TOKEN="[redacted]" x'
    innocent = b"TOKENIZERS_PARALLELISM=false tokens=123456 KEY=short MONKEY=banana7"
    assert redactor.clean(innocent) == innocent
    cleaned = redactor.clean(b"A_SECRET=123456789")
    assert redactor.clean(cleaned) == cleaned
    assert content(framed([b"DB_PASSWORD=12345", b"6789\n"], flushes=True)) == b"DB_PASSWORD=[redacted]\n"


def test_segments_are_named_by_their_offset() -> None:
    assert segment_name(0) == "00000000000000000000.seg"
    assert segment_offset(segment_name(67108913)) == 67108913
    assert segment_offset("1.seg") is None and segment_offset("x" * 20 + ".seg") is None
