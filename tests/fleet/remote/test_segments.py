"""The log's files: each named by where it begins, ended by a frame that says what follows, continued after any cut."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fleet.remote import segments
from fleet.remote.frames import Frame, parse, segment_name, segment_offset
from fleet.remote.logs import Log
from fleet.remote.redact import Redactor
from fleet.remote.segments import Segments, find_tail, last_lines, log_end


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 2,000 bytes."""
    monkeypatch.setattr(segments, "SEGMENT_BYTES", 2000)


def log_of(folder: Path) -> Log:
    return Log(str(folder), Redactor([]))


def written(folder: Path, *, skipped: int = 0) -> list[Frame]:
    """All frames, proved to be without gap; `skipped` lines are none."""
    found, offset = [], 0
    for path in sorted(folder.iterdir()):
        assert segment_offset(path.name) == offset
        data = path.read_bytes()
        offset += len(data)
        for line in data.split(b"\n")[:-1]:
            try:
                found.append(parse(line))
            except ValueError:
                skipped -= 1
    assert skipped == 0 and [frame.seq for frame in found] == list(range(1, len(found) + 1))
    return found


def test_full_segments_name_the_next(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    log.begin()
    for number in range(200):
        log.take("out", b"line %d\n" % number)
    log.end("completed", {"code": 0})
    log.close()
    frames = written(tmp_path)
    assert [frame.text for frame in frames if frame.flags == "-"] == [f"line {number}" for number in range(200)]
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [frame.text for frame in frames if frame.flags == "n"] == names[1:] and len(names) > 3
    assert all(path.stat().st_size < 2200 for path in tmp_path.iterdir())
    assert json.loads(frames[-1].content()) == {"state": "completed", "exit": {"code": 0}}
    assert log_end(str(tmp_path))[0] == log.offset == sum(path.stat().st_size for path in tmp_path.iterdir())
    assert last_lines(str(tmp_path), 3) == ["line 197", "line 198", "line 199"]


def test_each_attempt_begins_a_segment(tmp_path: Path) -> None:
    for attempt in range(2):
        log = log_of(tmp_path)
        for part in ("one", "two"):
            log.begin()
            log.take("out", f"{attempt} {part}\n".encode())
            log.end("backoff" if part == "one" else "killed", None)
        log.close()
    texts = [next(parse(line).text for line in path.read_bytes().splitlines()) for path in sorted(tmp_path.iterdir())]
    assert texts == ["0 one", "0 two", "1 one", "1 two"]
    assert len(written(tmp_path)) == 8


@pytest.mark.parametrize("size", range(0, 66, 5))
def test_a_log_cut_anywhere_is_continued(tmp_path: Path, size: int) -> None:
    """A supervisor died in the middle of a write: what it left is closed, and nothing is overwritten."""
    first = log_of(tmp_path)
    first.begin()
    first.take("out", b"whole\nsecond line of some length\n")
    [segment] = tmp_path.iterdir()
    left = segment.read_bytes()[:size]
    first.close()
    segment.write_bytes(left)
    second = log_of(tmp_path)
    second.begin()
    second.take("out", b"after\n")
    second.close()
    assert segment.read_bytes().startswith(left)
    data = b"".join(path.read_bytes() for path in sorted(tmp_path.iterdir()))
    parsed = [line for line in data.split(b"\n")[:-1] if is_frame(line)]
    torn = len(data.split(b"\n")[:-1]) - len(parsed)
    assert torn <= 1
    assert [frame.text for frame in written(tmp_path, skipped=torn)][-1] == "after"


def test_a_tail_is_found_in_an_older_segment(tmp_path: Path) -> None:
    log = log_of(tmp_path)
    log.begin()
    log.take("out", b"line\n")
    log.close()
    size = log_end(str(tmp_path))[0]
    (tmp_path / segment_name(size)).write_bytes(b"")
    tail = find_tail(str(tmp_path))
    assert (tail.offset, tail.seq, tail.torn, tail.newest) == (size, 1, False, False)
    assert find_tail(str(tmp_path / "absent")) == (0, 0, None, "", False, True)


def test_what_the_disk_refuses_comes_later_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Segments(str(tmp_path))
    log.append(b"".join(Frame(log.number(1), 1, 0, 0, "out", "-", f"a{n}").line() for n in range(3)))
    disk = FullDisk(takes=[7, 7])
    monkeypatch.setattr(segments.os, "write", disk.write)
    for n in range(60):
        log.append(Frame(log.number(1), 1, 0, 0, "out", "-", f"b{n} {'x' * 40}").line())
    assert log.blocked and log.problem is not None
    log.end(b'{"state": "backoff"}')
    log.begin()
    log.append(Frame(log.number(1), 1, 0, 0, "out", "-", "next attempt").line())
    promised = log.offset
    monkeypatch.undo()
    log.write()
    assert not log.blocked and log.problem is None
    log.close()
    frames = written(tmp_path)
    assert [frame.text[:3] for frame in frames[:5]] == ["a0", "a1", "a2", "b0 ", "b1 "]
    assert [frame.flags for frame in frames[-2:]] == ["e", "-"]
    assert log_end(str(tmp_path))[0] == promised
    assert max(tmp_path.iterdir()).read_bytes().startswith(b"65\t")


class FullDisk:
    """A disk that takes so many bytes of the next writes, then nothing."""

    def __init__(self, takes: list[int]) -> None:
        self._write, self._takes = os.write, takes

    def write(self, descriptor: int, data: bytes) -> int:
        if not self._takes:
            raise OSError(28, "No space left on device")
        return self._write(descriptor, data[: self._takes.pop()])


def is_frame(line: bytes) -> bool:
    try:
        parse(line)
    except ValueError:
        return False
    return True
