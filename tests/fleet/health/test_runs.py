"""Runs as a look finds them: live ones by their lock, lost ones with the reason, the newest, and how they ended."""

from __future__ import annotations

import math
import os
import time
from typing import get_args

import pytest

from fleet.health import runs as judged
from hydra.runs import RunDirectory, observed_state
from hydra.runs.state import LifeCycle
from tests.fleet.health.conftest import LIVE_ID


def only(report):
    [run] = report.runs
    return run


def test_states_are_those_of_the_run_directory() -> None:
    assert set(get_args(LifeCycle)) == judged.LIVE | judged.TERMINAL


def test_a_live_run(host) -> None:
    host.run(locked=True)
    run = only(host.look(runs=0))
    assert (run.id, run.name, run.state, run.reason) == (LIVE_ID, "small-lm", "running", "")
    assert (run.attempt, run.step, run.total_steps, run.phase) == (2, 3, 100, "train")
    assert (run.loss, run.tokens_per_s, run.gpus) == (1.0, 1e5, ("GPU-1",))
    assert run.age is not None and run.age < 3
    assert run.last_step_age is not None and run.last_step_age < 3
    assert run.started == 1769903999.0
    assert (run.median_step, run.release) == (0.25, "0123456789abcdef")


def test_a_free_lock_means_lost(host) -> None:
    folder = host.run()
    run = only(host.look())
    assert (run.state, run.reason) == ("lost", "the supervisor died without a final record")
    assert run.phase is None
    assert observed_state(RunDirectory(folder)).state == run.state


def test_a_reboot_is_the_reason(host) -> None:
    folder = host.run(boot_id="00000000-0000-0000-0000-000000000000")
    run = only(host.look())
    seen = observed_state(RunDirectory(folder))
    assert (run.state, run.reason) == (seen.state, seen.reason) == ("lost", "host rebooted")


@pytest.mark.parametrize(("beat", "state"), [(5, "running"), (120, "lost")])
def test_on_another_machine_the_heartbeat_decides(host, beat: int, state: str) -> None:
    folder = host.run(machine_id="ffffffffffffffff")
    os.utime(folder / "progress.json", (time.time() - beat, time.time() - beat))
    run = only(host.look())
    assert run.state == observed_state(RunDirectory(folder)).state == state
    assert "another machine" in run.reason
    assert run.machine == "ffffffffffffffff"


@pytest.mark.parametrize(("beat", "state"), [(5, "running"), (120, "lost")])
def test_without_flock_the_heartbeat_decides(host, beat: int, state: str) -> None:
    folder = host.run(locked=True)
    os.utime(folder / "progress.json", (time.time() - beat, time.time() - beat))
    host.lacks("flock")
    run = only(host.look())
    assert run.state == state and "lock cannot be tested" in run.reason


def test_a_run_without_a_supervisor_has_the_trainers_lock(host) -> None:
    folder = host.run(supervisor=None)
    (folder / "supervisor.lock").rename(folder / "lock")
    assert only(host.look()).reason == "the trainer died without a final record"


def test_how_it_ended_is_said(host) -> None:
    culprit = {"rank": 3, "exception": "ValueError", "message": "bad \x1b[2J shape"}
    host.run(state="failed", exit={"code": 1, "culprit": culprit})
    run = only(host.look())
    assert (run.state, run.reason) == ("failed", "exit 1; rank 3, ValueError: bad \\x1b[2J shape")


def test_live_runs_and_the_newest_of_the_others(host) -> None:
    host.run("a-20260101-000000-aaaa", locked=True)
    for day in (3, 5, 4):
        host.run(f"z{day}-202601{day:02}-000000-aaaa", state="stopped")
    host.run("b-20250101-000000-aaaa", locked=True)
    (host.root / "runs" / "notes").mkdir()
    assert [run.id[:2] for run in host.look(runs=0).runs] == ["a-", "b-"]
    assert [run.id[:2] for run in host.look(runs=1).runs] == ["a-", "b-", "z5"]
    assert [run.id[:2] for run in host.look(runs=5).runs] == ["a-", "b-", "z5", "z4", "z3"]


def test_a_live_run_is_found_among_many(host) -> None:
    for number in range(40):
        host.run(f"old-20250101-{number:06}-aaaa", state="completed")
    host.run("live-20240101-000000-aaaa", locked=True)
    report = host.look(runs=1)
    assert [(run.name, run.state) for run in report.runs] == [("live", "running"), ("old", "completed")]
    assert report.runs[1].id == "old-20250101-000039-aaaa"


def test_not_a_number_is_kept(host) -> None:
    folder = host.run(locked=True)
    (folder / "metrics.jsonl").write_text('{"step": 4, "loss": "NaN", "tokens_per_s": "Infinity"}\n')
    run = only(host.look())
    assert run.loss is not None and math.isnan(run.loss)
    assert run.to_json()["loss"] == "NaN" and run.to_json()["tokens_per_s"] == "Infinity"


def test_a_line_that_is_being_written_does_not_count_yet(host) -> None:
    folder = host.run(locked=True)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"schema": 1, "attempt": 2, "step": 4, "loss": 0.')
    report = host.look()
    assert only(report).loss == 1.0
    assert report.state == "up"


def test_no_metrics_yet(host) -> None:
    folder = host.run(locked=True)
    (folder / "metrics.jsonl").unlink()
    (folder / "progress.json").unlink()
    run = only(host.look())
    assert (run.state, run.step, run.loss, run.age, run.last_step_age) == ("running", None, None, None, None)


def test_a_slow_rank_is_named(host, ids) -> None:
    folder = host.run(locked=True)
    event = '{"seq": %d, "attempt": %d, "step": 90, "kind": "guard.straggler", "rank": 0, "data": {"rank": 5}}\n'
    (folder / "events.jsonl").write_text(event % (1, 1) + event % (2, 2) + '{"kind": "eval.summary"}\n')
    report = host.look(detail=True)
    [finding] = report.health
    assert (finding.id, finding.run) == ("run.straggler", LIVE_ID)
    assert "rank 5, at step 90" in finding.evidence
    assert host.look().health == ()
    (folder / "events.jsonl").write_text(event % (1, 1))
    assert host.look(detail=True).health == (), "of an earlier attempt"


def test_a_run_that_takes_no_steps_is_said_and_blocks_nothing(host, ids) -> None:
    folder = host.run(locked=True)
    host.beat(folder, last_step_time=time.time() - 400)
    report = host.look()
    assert ids(report) == {("run.stalled", "warning")}
    assert report.health[0].run == LIVE_ID and report.state == "up"
    host.beat(folder, last_step_time=time.time() - 400, median_step_ms=60_000.0)
    assert host.look().health == (), "a step usually takes a minute"


def test_a_host_with_very_many_runs_that_claim_to_live(host) -> None:
    """After a power cut nobody has written that they are lost. Cutting their list took dash a minute of CPU."""
    for number in range(250):
        host.run(f"small-lm-20260131-{number:06d}-k3qz")
    report = host.look()
    assert {run.state for run in report.runs} == {"lost"} and len(report.runs) == 250
