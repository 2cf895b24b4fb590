from __future__ import annotations

import math
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from hydra.runs import (
    Exit,
    Heartbeat,
    LineWriter,
    MetricsWriter,
    RunDirectory,
    RunLock,
    StateFile,
    following,
    list_runs,
    run_row,
)

NOON = datetime(2026, 1, 31, 12, 0, 0, tzinfo=UTC)


def test_a_live_run(run: RunDirectory) -> None:
    with RunLock.acquire(run.lock, attempt=1), Heartbeat(run.progress, attempt=1, total_steps=100).start() as heart:
        StateFile(run.state, run.id, 1).enter("running")
        with MetricsWriter(run.metrics, attempt=1) as metrics:
            for step in range(1, 31):
                metrics.append({"step": step, "loss": 3.0 - step / 30, "tokens_per_s": 1000.0})
        heart.step_done(30, tokens=1, step_ms=1.0)
        heart.enter("eval")
        row = run_row(run)
    assert (row.id, row.name, row.path) == (run.id, "test", run.path)
    assert (row.state, row.phase, row.reason, row.attempt) == ("running", "eval", "", 1)
    assert (row.step, row.total_steps, row.loss, row.tokens_per_s) == (30, 100, 2.0, 1000.0)
    assert row.last_step_age is not None
    assert 0 <= row.last_step_age < 60


def test_ended_and_dead_runs_have_no_phase(run: RunDirectory) -> None:
    with Heartbeat(run.progress, attempt=1, total_steps=100).start():
        state = StateFile(run.state, run.id, 1)
    assert (run_row(run).state, run_row(run).phase) == ("lost", None)
    assert "died" in run_row(run).reason
    state.enter("completed", exit=Exit(code=0))
    assert (run_row(run).state, run_row(run).phase) == ("completed", None)


def test_newest_first_and_empty_runs_too(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "absent") == []
    runs = [RunDirectory.create(tmp_path, name, NOON + timedelta(minutes=minute)) for minute, name in enumerate("bca")]
    (tmp_path / "README.md").touch()
    rows = list_runs(tmp_path)
    assert [row.id for row in rows] == [run.id for run in reversed(runs)]
    assert rows[-1].started == NOON.timestamp()
    assert (rows[0].state, rows[0].step, rows[0].loss, rows[0].last_step_age) == (None, None, None, None)


def test_a_damaged_run_hides_no_other(tmp_path: Path) -> None:
    good, bad = (RunDirectory.create(tmp_path, name, NOON) for name in ("good", "bad"))
    bad.state.write_text("{")
    bad.progress.write_bytes(b"\xff")
    bad.metrics.write_bytes(b'\xff\n{"step":4,"loss":"NaN"}\n{"step": 5, "lo')
    bad.events.write_bytes(b"\0\n")
    rows = {row.id: row for row in list_runs(tmp_path)}
    assert rows.keys() == {good.id, bad.id}
    row = rows[bad.id]
    assert "state.json" in row.reason
    assert row.state is None
    assert row.step == 4
    assert row.loss is not None
    assert math.isnan(row.loss)


def test_a_file_that_cannot_be_read_is_a_reason(run: RunDirectory) -> None:
    run.metrics.mkdir()
    run.lock.mkdir()
    run.progress.mkdir()
    row = run_row(run)
    assert "metrics.jsonl" in row.reason
    assert "progress.json" in row.reason


def test_it_reads_the_end_of_the_metrics_only(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    with LineWriter(run.metrics) as lines:
        lines.append(b'{"step":1,"pad":"' + b"x" * 5_000_000 + b'"}')
        for step in range(2, 20):
            lines.append(b'{"step":%d,"loss":1.5}' % step)
    sought: list[int] = []
    original = Path.open

    class Watched:
        def __init__(self, path: Path) -> None:
            self.file = original(path, "rb")

        def __enter__(self) -> Watched:
            return self

        def __exit__(self, *_: object) -> None:
            self.file.close()

        def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
            sought.append(offset)
            return self.file.seek(offset, whence)

        def read(self, size: int) -> bytes:
            return self.file.read(size)

    monkeypatch.setattr(following.Path, "open", lambda path, mode: Watched(path))
    assert following.last_lines(run.metrics, 8)[-1] == b'{"step":19,"loss":1.5}'
    assert len(sought) == 2, "one block from the end was enough"
