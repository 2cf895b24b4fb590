from __future__ import annotations

import fcntl
import os
import pickle
import signal
import socket
import subprocess
import threading
from pathlib import Path

import pytest

from hydra.errors import RunLocked
from hydra.runs import RunDirectory, RunLock, RunWriteError, lock, lock_status, process_identity

HOLD = """
import sys
from pathlib import Path
from hydra.runs import RunLock
lock = RunLock.acquire(Path(sys.argv[1]), attempt=3)
print("held", flush=True)
sys.stdin.read()
lock.close()
"""

HOLD_WITH_CHILD = """
import os, sys
from pathlib import Path
from hydra.runs import RunLock
lock = RunLock.acquire(Path(sys.argv[1]), attempt=1)
child = os.fork()
if child == 0:
    print(os.getpid(), flush=True)
    sys.stdin.read()
    os._exit(0)
os.waitpid(child, 0)
"""


def test_a_second_process_is_told_who_holds_it(run: RunDirectory, spawn, spoken, kill) -> None:
    process = spawn(HOLD, run.lock)
    spoken(process)
    with pytest.raises(RunLocked) as caught:
        RunLock.acquire(run.lock, attempt=4)
    assert caught.value.exit_code == 6
    assert f"process {process.pid} on {socket.gethostname()} since 2" in caught.value.what
    assert str(process.pid) in caught.value.example
    status = lock_status(run.lock)
    assert status.held
    assert status.holder is not None
    assert status.holder.process == process_identity(process.pid)
    assert status.holder.attempt == 3
    kill(process)
    assert not lock_status(run.lock).held, "the kernel frees it at death"
    with RunLock.acquire(run.lock, attempt=4) as mine:
        assert mine.holder.process.pid == os.getpid()


def test_an_ordinary_end_frees_it_too(run: RunDirectory, spawn, spoken) -> None:
    process = spawn(HOLD, run.lock)
    spoken(process)
    process.communicate()
    assert process.returncode == 0
    assert run.lock.read_bytes() == b""
    RunLock.acquire(run.lock, attempt=1).close()


def test_within_one_process_it_is_exclusive_as_well(run: RunDirectory) -> None:
    with RunLock.acquire(run.lock, attempt=1), pytest.raises(RunLocked):
        RunLock.acquire(run.lock, attempt=2)
    held = RunLock.acquire(run.lock, attempt=2)
    held.close()
    held.close()
    assert lock_status(run.lock) == lock.LockStatus(held=False, holder=None)


def test_a_worker_that_outlives_its_killed_trainer_does_not_keep_the_lock(run: RunDirectory, spawn, spoken) -> None:
    process = spawn(HOLD_WITH_CHILD, run.lock)
    child = int(spoken(process))
    try:
        assert lock_status(run.lock).held, "the fork did not free the parent's lock"
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert process_identity(child) is not None
        assert not lock_status(run.lock).held
    finally:
        os.kill(child, signal.SIGKILL)


def test_the_descriptor_is_closed_on_exec(run: RunDirectory) -> None:
    held = RunLock.acquire(run.lock, attempt=1)
    child = subprocess.Popen(["sleep", "60"], close_fds=False)
    try:
        held.close()
        assert not lock_status(run.lock).held
    finally:
        child.kill()
        child.wait()


@pytest.mark.parametrize("content", [b"", b"{", b'{"process": 1}', b"\0" * 100])
def test_content_decides_nothing(run: RunDirectory, content: bytes) -> None:
    run.lock.write_bytes(content)
    assert not lock_status(run.lock).held
    RunLock.acquire(run.lock, attempt=1).close()


def test_the_name_of_a_dead_or_living_holder_without_the_lock_decides_nothing(run: RunDirectory) -> None:
    held = RunLock.acquire(run.lock, attempt=1)
    named = run.lock.read_bytes()
    held.close()
    run.lock.write_bytes(named)
    assert not lock_status(run.lock).held
    RunLock.acquire(run.lock, attempt=1).close()


def test_a_holder_that_cannot_be_read_still_holds(run: RunDirectory) -> None:
    with RunLock.acquire(run.lock, attempt=1):
        run.lock.write_bytes(b"scribble")
        assert lock_status(run.lock) == lock.LockStatus(held=True, holder=None)
        with pytest.raises(RunLocked, match="another process"):
            RunLock.acquire(run.lock, attempt=2, patience=0.05)


def test_looking_never_makes_a_trainer_fail(run: RunDirectory) -> None:
    ended = threading.Event()

    def look() -> None:
        while not ended.is_set():
            lock_status(run.lock)

    lookers = [threading.Thread(target=look) for _ in range(3)]
    for looker in lookers:
        looker.start()
    try:
        for attempt in range(100):
            RunLock.acquire(run.lock, attempt=attempt, patience=30.0).close()
    finally:
        ended.set()
        for looker in lookers:
            looker.join()


def test_two_who_look_do_not_see_each_other(run: RunDirectory) -> None:
    with run.lock.open("w") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert not lock_status(run.lock).held


def test_a_living_holder_is_not_waited_for(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock.time, "sleep", lambda seconds: pytest.fail("it waited"))
    with RunLock.acquire(run.lock, attempt=1), pytest.raises(RunLocked):
        RunLock.acquire(run.lock, attempt=2, patience=3600.0)


def test_of_many_exactly_one_gets_it(run: RunDirectory, spawn, spoken) -> None:
    code = HOLD.replace("lock = RunLock", "print('ready', flush=True); sys.stdin.readline()\nlock = RunLock")
    processes = [spawn(code, run.lock) for _ in range(4)]
    for process in processes:
        spoken(process)
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    # Losers end at once, having read a living holder; the winner holds until its input ends.
    said = [process.stdout.readline().strip() for process in processes]
    assert sorted(said) == ["", "", "", "held"]


def test_a_directory_that_has_gone(tmp_path: Path) -> None:
    assert not lock_status(tmp_path / "gone" / "lock").held
    with pytest.raises(RunWriteError, match="No such file"):
        RunLock.acquire(tmp_path / "gone" / "lock", attempt=1)


def test_the_error_crosses_process_boundaries(run: RunDirectory) -> None:
    with RunLock.acquire(run.lock, attempt=1), pytest.raises(RunLocked) as caught:
        RunLock.acquire(run.lock, attempt=2)
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
