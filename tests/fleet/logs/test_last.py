"""The last lines, read backwards on the host."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import NotFound, RemoteFailed, Usage
from fleet.logs import last_lines
from fleet.remote.frames import Frame, segment_name
from fleet.remote.tail import BLOCK, backwards
from tests.fleet.logs.conftest import DEPLOY, RUN


def shown(last) -> list[str]:
    return [line.frame.text for line in last.lines]


def test_the_last_lines_and_where_to_go_on(host, monkeypatch: pytest.MonkeyPatch) -> None:
    log = host.log(monkeypatch, 5000)
    for number in range(500):
        log.take("out", b"line %d\n" % number)
    size = sum(path.stat().st_size for path in (host.run / "log").iterdir())
    assert shown(host.last(3)) == ["line 497", "line 498", "line 499"]
    assert host.last(3).cursor == size
    assert len(host.last(1000).lines) == 500
    assert host.last(0).lines == () and host.last(0).cursor == size
    assert [line.cursor for line in host.last(2).lines][-1] == size


def test_only_the_end_is_read(host, monkeypatch: pytest.MonkeyPatch) -> None:
    log = host.log(monkeypatch, 5000)
    for number in range(500):
        log.take("out", b"line %d\n" % number)
    oldest = host.run / "log" / segment_name(0)
    oldest.unlink()
    oldest.mkdir()
    assert len(shown(host.last(200))) == 200
    with pytest.raises(RemoteFailed, match="Is a directory"):
        host.last(500)


def test_filters_look_further_back(host) -> None:
    log = host.log()
    for number in range(200):
        log.take("err" if number % 2 else "out", b"step=%d loss=%d\n" % (number, number % 7))
    found = host.last(3, grep="loss=0$")
    assert shown(found) == ["step=182 loss=0", "step=189 loss=0", "step=196 loss=0"]
    assert found.cursor > found.lines[-1].cursor
    assert host.last(3, rank=5).lines == ()
    assert len(host.last(3, rank=0).lines) == 3


def test_ages_are_measured_on_the_host(host) -> None:
    now = int(time.time() * 1000)
    (host.run / "log").mkdir()
    frames = [
        Frame(seq, now - age * 1000, 0, 0, "out", "-", f"{age} s old") for seq, age in ((1, 500), (2, 50), (3, 5))
    ]
    (host.run / "log" / segment_name(0)).write_bytes(b"".join(frame.line() for frame in frames))
    assert shown(host.last(10, since_seconds=60)) == ["50 s old", "5 s old"]
    assert shown(host.last(10, since_seconds=1)) == []
    assert shown(host.last(10, since_seconds=0)) == [], "what is newer than now"


def test_a_log_without_lines_has_a_beginning(host) -> None:
    assert host.last(5) == last_lines(host.ask, DEPLOY, RUN, 5)
    assert (host.last(5).lines, host.last(5).cursor, host.last(5).complete) == ((), 0, True)
    host.log()
    assert host.last(5).cursor == 0


def test_what_is_half_written_or_no_frame_is_passed_over(host) -> None:
    log = host.log()
    log.take("out", b"one\ntwo\n")
    segment = host.run / "log" / segment_name(0)
    size = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(b"garbage\n3\t17")
    last = host.last(5)
    assert shown(last) == ["one", "two"]
    assert last.cursor == size + len(b"garbage\n")


def test_a_search_that_takes_too_long_says_so(host) -> None:
    host.log().take("out", b"one\n" * 5000)
    last = host.last(10, grep="never", budget=0.0)
    assert not last.complete


def test_a_missing_run_and_a_malformed_pattern_are_refused(host) -> None:
    with pytest.raises(NotFound, match="no run other-run"):
        last_lines(host.ask, DEPLOY, "other-run", 5)
    with pytest.raises(Usage, match="no regular expression"):
        host.last(5, grep="(")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"frames": 3, "cursor": 1, "complete": True},
        {"frames": [], "cursor": "1", "complete": True},
        {"frames": [[1, "no frame"]], "cursor": 1, "complete": True},
    ],
)
def test_an_answer_of_another_form_is_refused(answer: dict) -> None:
    with pytest.raises(RemoteFailed, match="cannot be read"):
        last_lines(lambda *_: answer, DEPLOY, RUN, 5)


@given(st.lists(st.binary(max_size=12).filter(lambda line: b"\n" not in line), max_size=30), st.binary(max_size=5))
def test_backwards_is_forwards_reversed(tmp_path_factory, lines: list[bytes], torn: bytes) -> None:
    path = tmp_path_factory.mktemp("lines") / "file"
    data = b"".join(line + b"\n" for line in lines) + torn.replace(b"\n", b"")
    path.write_bytes(data)
    found = list(backwards(str(path)))
    assert [line for _, line in reversed(found)] == lines
    assert all(data[:end].endswith(line + b"\n") for end, line in found)


def test_lines_longer_than_a_block_are_whole(tmp_path) -> None:
    lines = [b"a" * (BLOCK * 3 + 1), b"b", b"c" * BLOCK, b"d" * (BLOCK - 1), b"e" * (40 << 20), b"f"]
    path = tmp_path / "file"
    path.write_bytes(b"\n".join(lines) + b"\n")
    found = [line for _, line in reversed(list(backwards(str(path))))]
    assert found[:4] == lines[:4] and found[5] == lines[5]
    assert len(found[4]) < 2 << 20, "what is longer than any frame is not gathered"
