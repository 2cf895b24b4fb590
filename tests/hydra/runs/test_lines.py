from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest

from hydra.errors import RunError
from hydra.runs import JsonReader, LineReader, LineWriter, RunWriteError, lines


def test_each_line_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[bytes] = []
    original = os.write

    def write(descriptor: int, data: bytes) -> int:
        written.append(data)
        return original(descriptor, data)

    monkeypatch.setattr(lines.os, "write", write)
    with LineWriter(tmp_path / "a") as writer:
        writer.append(b"one")
        writer.append(b"two" * 100_000)
    assert written == [b"one\n", b"two" * 100_000 + b"\n"]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_torn_tail_is_closed_at_open(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"a":1}\n{"a":2}\n'[: 8 + cut] if cut <= 8 else b'{"a":1}\n')
    with LineWriter(path) as writer:
        writer.append(b'{"a":3}')
    reader = JsonReader(path)
    values = [row["a"] for row in reader.drain()]
    assert values == ([1, 2, 3] if cut in (7, 8) else [1, 3])
    assert reader.skipped == (1 if cut < 7 else 0)


def test_a_newline_inside_a_line_is_a_mistake(tmp_path: Path) -> None:
    with LineWriter(tmp_path / "a") as writer, pytest.raises(AssertionError):
        writer.append(b"a\nb")
    with pytest.raises(AssertionError):
        writer.append(b"after closing")


def test_threads_share_a_writer(tmp_path: Path) -> None:
    with LineWriter(tmp_path / "a") as writer:
        threads = [
            threading.Thread(target=lambda n=n: [writer.append(b"%d" % n * 5_000) for _ in range(50)]) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = LineReader(tmp_path / "a").poll()
    assert sorted(found) == sorted(b"%d" % n * 5_000 for n in range(4) for _ in range(50))


def test_fsync_comes_when_it_is_time_when_asked_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[float] = []
    now = 0.0
    writer = LineWriter(tmp_path / "a", sync_every=10.0, clock=lambda: now)
    monkeypatch.setattr(lines.os, "fsync", lambda descriptor: synced.append(now))
    for moment in (1.0, 9.9, 10.0, 11.0, 19.9, 20.5):
        now = moment
        writer.append(b"x")
    assert synced == [10.0, 20.5]
    writer.append(b"x", sync=True)
    writer.sync()
    writer.close()
    writer.close()
    assert synced == [10.0, 20.5, 20.5, 20.5, 20.5]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_that_says_so() -> None:
    writer = LineWriter(Path("/dev/full"))
    for _ in range(2):
        with pytest.raises(RunWriteError, match="No space left"):
            writer.append(b"x")
    writer.close()


FULL_DISK = """
import resource, sys
from pathlib import Path
from hydra.runs import LineWriter, RunWriteError
path, room = Path(sys.argv[1]), int(sys.argv[2])
writer = LineWriter(path)
resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
taken = []
for number in range(100):
    try:
        writer.append(b'{"n":%d}' % number)
    except RunWriteError as error:
        assert "no room" in error.why, error
        break
    taken.append(number)
try:
    writer.append(b'{"n":1000}')
except RunWriteError:
    pass
else:
    taken.append(1000)
if sys.argv[3] == "again":
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    writer.append(b'{"n":2000}')
    taken.append(2000)
writer.close()
print(taken)
"""


@pytest.mark.parametrize("then", ["again", "reopen"])
@pytest.mark.parametrize(
    "room", [72, 73, 77, 79, 80]
)  # a line has 8 bytes: nothing, one byte, a piece, all but one, all
def test_when_the_disk_fills_up_no_line_is_lost_and_none_is_swallowed(
    tmp_path: Path, spawn, room: int, then: str
) -> None:
    path = tmp_path / "a.jsonl"
    process = spawn(FULL_DISK, path, room, then)
    output = process.communicate()[0]
    assert process.returncode == 0
    taken = json.loads(output)
    with LineWriter(path) as writer:
        writer.append(b'{"n":3000}')
    reader = JsonReader(path)
    found = [row["n"] for row in reader.drain()]
    # All but the newline may have been taken of the line that failed: then it is whole, and only that one may appear.
    assert [number for number in found if number in [*taken, 3000]] == [*taken, 3000]
    assert set(found) - {*taken, 3000} <= {len(taken) - (2000 in taken)}
    assert reader.skipped <= 1


def test_a_disk_that_is_full_when_a_torn_file_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"torn")

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lines.os, "write", full)
        with pytest.raises(RunWriteError):
            LineWriter(path)
    assert path.read_bytes() == b"torn"
    LineWriter(path).close()
    assert path.read_bytes() == b"torn\n"


def test_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(RunWriteError, match="No such file"):
        LineWriter(tmp_path / "gone" / "a")


def test_a_file_that_shrank_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one\ntwo\n")
    reader = LineReader(path)
    assert reader.poll() == [b"one", b"two"]
    path.write_bytes(b"one\n")
    with pytest.raises(RunError, match="fewer than the 8"):
        reader.poll()
    path.unlink()
    with pytest.raises(RunError, match="fewer than the 8"):
        reader.poll()
