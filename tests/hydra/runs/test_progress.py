from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hydra.errors import RunError
from hydra.runs import Heartbeat, Progress, RunDirectory, RunWriteError, atomic, read_progress


def beat(path: Path) -> Progress:
    found = read_progress(path)
    assert found is not None
    return found


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "the condition never came"
        time.sleep(0.005)


def test_a_training(run: RunDirectory) -> None:
    assert read_progress(run.progress) is None
    heart = Heartbeat(run.progress, attempt=2, total_steps=50, step=10, tokens=1000, saved_step=10, interval=60.0)
    with heart.start():
        first = beat(run.progress)
        assert (first.phase, first.step, first.total_steps, first.tokens) == ("start", 10, 50, 1000)
        assert (first.attempt, first.last_saved_step, first.last_step_time, first.median_step_ms) == (2, 10, None, None)
        heart.enter("train")
        for step, step_ms in ((11, 5.0), (12, 100.0), (13, 7.0)):
            heart.step_done(step, tokens=100 * step, step_ms=step_ms)
        heart.saved(13)
        assert beat(run.progress).step == 10, "a step alone touches no disk"
        heart.enter("eval")
        now = beat(run.progress)
        assert (now.phase, now.step, now.tokens, now.median_step_ms, now.last_saved_step) == ("eval", 13, 1300, 7.0, 13)
        assert now.last_step_time is not None
        assert now.phase_since >= first.phase_since
    assert beat(run.progress).phase == "stop"
    heart.close()


def test_it_beats_while_a_step_hangs(run: RunDirectory) -> None:
    with Heartbeat(run.progress, attempt=1, total_steps=5, interval=0.01).start() as heart:
        heart.enter("train")
        heart.step_done(1, tokens=10, step_ms=1.0)
        until(lambda: beat(run.progress).step == 1)
        first = beat(run.progress)
        until(lambda: beat(run.progress).time > first.time)
        assert beat(run.progress).last_step_time == first.last_step_time


def test_after_close_nothing_is_written(run: RunDirectory) -> None:
    heart = Heartbeat(run.progress, attempt=1, total_steps=5, interval=0.001).start()
    heart.close()
    last = run.progress.read_bytes()
    time.sleep(0.02)
    assert run.progress.read_bytes() == last
    assert not heart._thread.is_alive()


def test_a_heart_that_never_started_can_be_closed(run: RunDirectory) -> None:
    Heartbeat(run.progress, attempt=1, total_steps=5).close()


def refusing(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "write", full)


def test_a_disk_that_is_full_for_a_while_stops_nothing(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    heart = Heartbeat(run.progress, attempt=1, total_steps=5, interval=60.0)
    with heart.start():
        with monkeypatch.context() as patch:
            refusing(patch)
            heart.enter("save")
            heart.step_done(1, tokens=1, step_ms=1.0)
            assert beat(run.progress).phase == "start"
        heart.enter("train")
        assert beat(run.progress).phase == "train"


def test_a_disk_that_stays_full_stops_training(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    heart = Heartbeat(run.progress, attempt=1, total_steps=5, interval=60.0, patience=0.0)
    with heart.start(), monkeypatch.context() as patch:
        refusing(patch)
        heart.enter("save")
        with pytest.raises(RunWriteError, match="No space left"):
            heart.step_done(1, tokens=1, step_ms=1.0)


def test_a_slow_disk_does_not_hold_up_a_step(run: RunDirectory) -> None:
    heart = Heartbeat(run.progress, attempt=1, total_steps=5, interval=0.001).start()
    with heart._writing:  # the disk is busy
        heart.step_done(1, tokens=1, step_ms=1.0)
        heart.saved(1)
    heart.close()
    assert beat(run.progress).step == 1


def test_a_damaged_file_names_itself(run: RunDirectory) -> None:
    run.progress.write_text('{"phase": "train"}')
    with pytest.raises(RunError, match=r"progress\.json"):
        read_progress(run.progress)
