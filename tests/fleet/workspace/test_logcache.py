"""What was followed can be read back: no byte twice, none invented, never more than the limit."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fleet.errors import Usage
from fleet.redaction import Redactor
from fleet.workspace import LogCache

EXAMPLES = 150
RUN = "small-lm-20260131-235959-k3qz"
LOG = bytes(range(256)) * 4


def joined(cache: LogCache, host: str = "box", run: str = RUN, cursor: int = 0) -> list[tuple[int, bytes]]:
    """What is kept, pieces that follow each other joined."""
    result: list[tuple[int, bytes]] = []
    for start, data in cache.read(host, run, cursor):
        if result and result[-1][0] + len(result[-1][1]) == start:
            result[-1] = (result[-1][0], result[-1][1] + data)
        else:
            result.append((start, data))
    return result


def test_what_is_appended_is_read_back(tmp_path: Path) -> None:
    cache = LogCache(tmp_path / "logs")
    cache.append("box", RUN, 0, b"one\n")
    cache.append("box", RUN, 4, b"two\n")
    cache.append("bay", RUN, 0, b"other\n")
    assert list(cache.read("box", RUN)) == [(0, b"one\n"), (4, b"two\n")]
    assert list(cache.read("box", RUN, 4)) == [(4, b"two\n")]
    assert list(LogCache(tmp_path / "logs").read("bay", RUN)) == [(0, b"other\n")]
    assert list(cache.read("box", "never-followed")) == []
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "logs" / "box" / RUN).glob("*.log")] == [0o600]
    assert (tmp_path / "logs" / "box" / RUN).stat().st_mode & 0o777 == 0o700


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 60), st.booleans()), max_size=25))
@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_of_stretches_gives_each_byte_once(
    tmp_path_factory: pytest.TempPathFactory, stretches: list[tuple[int, int, bool]]
) -> None:
    """Followed from any cursor, again and again, by one process or another."""
    folder = tmp_path_factory.mktemp("logs")
    caches, expected = [LogCache(folder, 1 << 20), LogCache(folder, 1 << 20)], {}
    for start, length, other in stretches:
        caches[other].append("box", RUN, start, LOG[start : start + length])
        expected |= {position: LOG[position] for position in range(start, start + length)}
    found = [(start + offset, byte) for start, data in caches[0].read("box", RUN) for offset, byte in enumerate(data)]
    assert found == sorted(expected.items())
    assert caches[0].failure is None


def test_redacted_pieces_keep_their_positions(tmp_path: Path) -> None:
    cache, redact = LogCache(tmp_path), Redactor(["secret-value"]).data
    lines = [b"begin secret-value\n", b"middle\n", b"secret-value end\n"]
    cursor = 0
    for line in lines:
        cache.append("box", RUN, cursor, line, redact)
        cursor += len(line)
    cache.append("box", RUN, 0, b"".join(lines), redact)
    assert list(cache.read("box", RUN)) == [(0, b"begin ***\n"), (19, b"middle\n"), (26, b"*** end\n")]
    assert len(list((tmp_path / "box" / RUN).glob("*.log"))) == 1
    assert b"secret-value" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*.log"))


def test_gaps_are_kept_as_gaps(tmp_path: Path) -> None:
    cache = LogCache(tmp_path)
    cache.append("box", RUN, 100, b"later\n")
    cache.append("box", RUN, 0, b"first\n")
    assert list(cache.read("box", RUN)) == [(0, b"first\n"), (100, b"later\n")]


def test_all_logs_together_stay_below_the_limit_and_the_oldest_go(tmp_path: Path) -> None:
    limit = 64 * 1024
    cache = LogCache(tmp_path, limit)
    line = b"x" * 999 + b"\n"
    cache.append("old", RUN, 0, line)
    for number in range(200):
        cache.append("box", RUN, number * 1000, line)
        kept = sum(path.stat().st_size for path in tmp_path.rglob("*.log"))
        assert kept <= limit * 9 // 8
    assert list(cache.read("old", RUN)) == []
    [(start, data)] = joined(cache)
    assert start + len(data) == 200_000, "what is left is the end, without a gap"
    assert len(data) > limit // 2


@pytest.mark.parametrize("cut", [1, 20, 43, 44, 60])
def test_a_torn_end_is_cut_off_and_followed_again(tmp_path: Path, cut: int) -> None:
    cache = LogCache(tmp_path)
    cache.append("box", RUN, 0, b"first\n")
    cache.append("box", RUN, 6, b"a longer second line\n")
    [path] = (tmp_path / "box" / RUN).glob("*.log")
    path.write_bytes(path.read_bytes()[:-cut])
    assert joined(cache) == [(0, b"first\n")]
    LogCache(tmp_path).append("box", RUN, 0, b"first\na longer second line\nthird\n")
    assert joined(cache) == [(0, b"first\na longer second line\nthird\n")]


def test_a_file_of_anything_else_is_emptied(tmp_path: Path) -> None:
    folder = tmp_path / "box" / RUN
    folder.mkdir(parents=True)
    (folder / f"{0:020d}.log").write_bytes(b"\xff" * 500)
    cache = LogCache(tmp_path)
    assert joined(cache) == []
    cache.append("box", RUN, 0, b"line\n")
    assert joined(cache) == [(0, b"line\n")]


@pytest.mark.parametrize("name", ["", "..", "../box", "a/b", ".", "Box", "a" * 65])
def test_names_lead_nowhere_else(tmp_path: Path, name: str) -> None:
    cache = LogCache(tmp_path)
    for host, run in ((name, RUN), ("box", name)):
        with pytest.raises(Usage, match="cannot be the name"):
            cache.append(host, run, 0, b"x")
        with pytest.raises(Usage, match="cannot be the name"):
            list(cache.read(host, run))


def test_a_disk_that_refuses_ends_the_keeping_only(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("in the way")
    cache = LogCache(tmp_path / "logs")
    cache.append("box", RUN, 0, b"line\n")
    assert cache.failure is not None
    cache.append("box", RUN, 5, b"line\n")


FOLLOWER = """
import sys, time
from pathlib import Path
from fleet.workspace import LogCache
folder, log = Path(sys.argv[1]), bytes(range(256)) * 2000
cache = LogCache(folder / "logs", 1 << 24)
print("ready", flush=True)
limit = time.monotonic() + 30
while not (folder / "go").exists() and time.monotonic() < limit:
    time.sleep(0.001)
for start in range(0, len(log), int(sys.argv[3])):
    cache.append("box", sys.argv[2], start, log[start:start + int(sys.argv[3])])
assert cache.failure is None, cache.failure
"""


def test_threads_and_processes_may_follow_the_same_run(tmp_path: Path, root: Path) -> None:
    """All at once over the same stretch, in steps that overlap."""
    command = [sys.executable, "-c", FOLLOWER, str(tmp_path), RUN]
    running = [
        subprocess.Popen([*command, step], cwd=root, stdout=subprocess.PIPE, text=True)
        for step in ("512", "700", "333")
    ]
    assert [process.stdout.readline() for process in running if process.stdout] == ["ready\n"] * 3
    log, cache = bytes(range(256)) * 2000, LogCache(tmp_path / "logs", 1 << 24)

    def follow(step: int) -> None:
        for start in range(0, len(log), step):
            cache.append("box", RUN, start, log[start : start + step])

    threads = [threading.Thread(target=follow, args=(step,)) for step in (700, 1300)]
    (tmp_path / "go").touch()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in running:
        process.communicate()
    assert [process.returncode for process in running] == [0, 0, 0]
    assert cache.failure is None
    assert joined(cache) == [(0, log)]


def test_keeping_costs_little(tmp_path: Path) -> None:
    cache, line = LogCache(tmp_path), b"x" * 99 + b"\n"
    start = time.perf_counter()
    for number in range(1000):
        cache.append("box", RUN, number * 100, line)
    assert time.perf_counter() - start < 2
