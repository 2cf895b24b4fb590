from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from hydra.errors import RunError
from hydra.runs import (
    Culprit,
    Exit,
    RunDirectory,
    RunLock,
    State,
    StateFile,
    VerifiedCheckpoint,
    boot_id,
    machine_id,
    observed,
    observed_state,
    process_identity,
    read_state,
)
from hydra.runs.state import TERMINAL

HOLD = """
import sys
from pathlib import Path
from hydra.runs import RunDirectory, RunLock, StateFile
run = RunDirectory.open(Path(sys.argv[1]))
lock = RunLock.acquire(run.lock, attempt=1)
StateFile(run.state, run.id, 1).enter("running")
print("running", flush=True)
sys.stdin.read()
"""


def state(**changes: Any) -> State:
    fields = {
        "run": "a",
        "attempt": 1,
        "state": "running",
        "since": 1.0,
        "machine_id": machine_id(),
        "boot_id": boot_id(),
    }
    return State(**{**fields, **changes})  # type: ignore[arg-type]  # fields of several types in one mapping


def test_the_fields_of_the_specification(run: RunDirectory) -> None:
    StateFile(run.state, run.id, 1)
    assert set(json.loads(run.state.read_text())) == {
        "schema", "run", "attempt", "state", "since", "machine_id", "boot_id", "supervisor", "leader", "node_rank",
        "node_count", "gpus", "release", "environment", "last_step", "log_offset", "last_verified_checkpoint",
        "restarts_used", "exit",
    }  # fmt: skip


def test_a_life(run: RunDirectory) -> None:
    now = 10.0
    file = StateFile(run.state, run.id, 2, clock=lambda: now, gpus=("GPU-1", "GPU-2"))
    me = process_identity()
    assert me is not None
    written = read_state(run.state)
    assert written is not None
    assert (written.state, written.since, written.attempt) == ("starting", 10.0, 2)
    assert written.leader is not None
    assert (written.leader.pid, written.leader.start) == (os.getpid(), me.start)
    now = 11.0
    file.enter("running")
    now = 12.0
    file.note(last_step=100, last_verified_checkpoint=VerifiedCheckpoint(step=100))
    file.enter(
        "failed", exit=Exit(code=1, kind="ValueError", culprit=Culprit(rank=3, exception="ValueError", message="x"))
    )
    written = read_state(run.state)
    assert written == file.state
    assert written is not None
    assert (written.state, written.since, written.last_step, written.gpus) == ("failed", 12.0, 100, ("GPU-1", "GPU-2"))
    assert written.exit is not None
    assert written.exit.culprit == Culprit(rank=3, exception="ValueError", message="x")
    with pytest.raises(AssertionError, match="nothing can follow"):
        file.enter("running")
    with pytest.raises(AssertionError, match="nothing can follow"):
        file.note(last_step=101)


def test_noting_something_does_not_change_since(run: RunDirectory) -> None:
    times = iter([1.0, 2.0, 3.0])
    file = StateFile(run.state, run.id, 1, clock=lambda: next(times))
    file.enter("running")
    file.note(last_step=5)
    assert file.state.since == 2.0


@pytest.mark.parametrize("name", sorted(TERMINAL - {"lost"}))
def test_an_end_has_a_reason(name: str) -> None:
    with pytest.raises(ValueError, match="needs 'exit'"):
        state(state=name)
    assert not state(state=name, exit=Exit(code=0)).live


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", '{"schema": 2}', state().model_dump_json(by_alias=True).replace('"running"', '"jogging"'),
     state().model_dump_json(by_alias=True).replace('"attempt":1', '"attempt":"1"'),
     state().model_dump_json(by_alias=True).replace('"run"', '"ran"')],
)  # fmt: skip
def test_a_file_that_is_no_state_names_itself(run: RunDirectory, content: str) -> None:
    run.state.write_text(content)
    with pytest.raises(RunError, match=r"state\.json does not hold"):
        read_state(run.state)


def test_no_state(run: RunDirectory) -> None:
    assert read_state(run.state) is None
    assert observed_state(run).state is None
    with RunLock.acquire(run.lock, attempt=1):
        assert observed_state(run).state == "starting"


def test_live_while_the_lock_is_held_and_lost_once_it_is_free(run: RunDirectory, spawn, spoken, kill) -> None:
    process = spawn(HOLD, run.path)
    spoken(process)
    assert (observed_state(run).state, observed_state(run).reason) == ("running", "")
    kill(process)
    found = observed_state(run)
    assert found.state == "lost"
    assert "trainer died" in found.reason
    assert found.written is not None
    assert found.written.state == "running"


def test_an_end_stands_as_written_lock_or_not(run: RunDirectory) -> None:
    state(state="completed", exit=Exit(code=0)).write(run.state)
    assert observed_state(run).state == "completed"
    with RunLock.acquire(run.lock, attempt=1):
        assert observed_state(run).state == "completed"


def test_a_reboot_is_named(run: RunDirectory) -> None:
    state(boot_id="another boot").write(run.state)
    assert (observed_state(run).state, observed_state(run).reason) == ("lost", "host rebooted")


def test_a_supervised_run_lives_as_long_as_its_supervisor(run: RunDirectory) -> None:
    state(state="backoff", supervisor={"pid": 1, "start": 1}).write(run.state)
    with RunLock.acquire(run.lock, attempt=1):
        assert observed_state(run).state == "lost"
    with RunLock.acquire(run.supervisor_lock, attempt=1):
        assert observed_state(run).state == "backoff"


def test_on_another_machine_the_heartbeat_decides(run: RunDirectory) -> None:
    state(machine_id="elsewhere").write(run.state)
    assert observed_state(run).state == "lost", "no heartbeat at all"
    run.progress.write_text("{}")
    assert (observed_state(run).state, observed_state(run).reason) == ("running", "runs on another machine")
    os.utime(run.progress, (1, 1))
    assert observed_state(run).state == "lost"


def test_an_end_between_the_two_looks_is_not_a_loss(run: RunDirectory, monkeypatch: pytest.MonkeyPatch) -> None:
    state().write(run.state)
    look = observed.lock_status

    def end_meanwhile(path: Path) -> object:
        state(state="completed", exit=Exit(code=0)).write(run.state)
        return look(path)

    monkeypatch.setattr(observed, "lock_status", end_meanwhile)
    assert observed_state(run).state == "completed"
