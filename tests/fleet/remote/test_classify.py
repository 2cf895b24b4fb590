"""How an attempt ended, from what it left behind; and whether it is worth another try."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from fleet.remote import evidence as evidence_module
from fleet.remote.budget import Budget
from fleet.remote.classify import Ending, classify, failed_to_start
from fleet.remote.events import append
from fleet.remote.evidence import (
    Evidence,
    Failure,
    crash_files,
    final_failure,
    kernel_killed,
    launcher_files,
    merged,
    summary_failure,
    traceback_failure,
)
from fleet.remote.places import RunFiles
from fleet.remote.states import culprit_field, exit_field
from hydra.errors import HydraError
from hydra.runs import Exit


def evidence(code: int | None = None, **changes: Any) -> Evidence:
    """The end of an attempt with an exit code, changed."""
    fields = {"code": code, "signal": None, "asked": False, "final": None, "failures": [], "memory": False}
    return Evidence(**{**fields, **changes})


COMPLETED = {"kind": "run.completed", "data": {"code": 0}}
STOPPED = {"kind": "run.stopped", "data": {"code": 0}}
KILLED = Failure(3, 10, signal=9)
MEMORY = Failure(1, 20, code=5, exception="DeviceMemoryError", message="full")
PEER = Failure(0, 5, code=7, exception="PeerLost")

CASES = [
    ("completed", evidence(0, final=COMPLETED), "completed", (0, None, None, None)),
    ("completed although asked", evidence(0, final=COMPLETED, asked=True), "completed", (0, None, None, None)),
    ("stopped", evidence(0, final=STOPPED, asked=True), "stopped", (0, "requested", None, None)),
    ("stopped by somebody on the host", evidence(0, final=STOPPED), "stopped", (0, "requested", None, None)),
    ("killed when asked", evidence(None, signal=9, asked=True), "stopped", (None, "requested", 9, 0)),
    ("save failed", evidence(12, asked=True, failures=[Failure(0, 1, 12, None, "SaveFailed")]), "stopped",
     (12, "SaveFailed", None, 0)),
    ("interrupted twice", evidence(130), "stopped", (130, "interrupted", None, None)),
    ("usage", evidence(2), "failed", (2, None, None, None)),
    ("bug", evidence(1, failures=[Failure(0, 1, 1, None, "KeyError", "'x'")]), "failed", (1, "KeyError", None, 0)),
    ("no record", evidence(0), "failed", (0, "NoFinalRecord", None, 0)),
    ("device memory", evidence(5), "oom", (5, "gpu", None, None)),
    ("device memory of a rank", evidence(1, failures=[MEMORY]), "oom", (5, "gpu", None, 1)),
    ("torch's own words", evidence(1, failures=[Failure(2, 1, exception="torch.OutOfMemoryError", message="CUDA")]),
     "oom", (1, "gpu", None, 2)),
    ("host memory", evidence(None, signal=9, memory=True), "oom", (None, "host", 9, 0)),
    ("a rank killed for host memory", evidence(1, failures=[KILLED], memory=True), "oom", (None, "host", 9, 3)),
    ("killed", evidence(None, signal=9), "killed", (None, "SIGKILL", 9, 0)),
    ("crashed", evidence(None, signal=11), "killed", (None, "SIGSEGV", 11, 0)),
    ("a rank killed", evidence(1, failures=[KILLED]), "killed", (None, "SIGKILL", 9, 3)),
    ("a peer is only a consequence", evidence(1, failures=[PEER, KILLED]), "killed", (None, "SIGKILL", 9, 3)),
    ("a peer lost elsewhere", evidence(1, failures=[PEER]), "failed", (7, "PeerLost", None, 0)),
    ("told to end by the launcher", evidence(1, failures=[Failure(0, 1, signal=15), MEMORY]), "oom",
     (5, "gpu", None, 1)),
    ("an unknown signal", evidence(None, signal=63), "killed", (None, "signal 63", 63, 0)),
]  # fmt: skip


@pytest.mark.parametrize(("found", "state", "told"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_every_end_is_explained(found: Evidence, state: str, told: tuple) -> None:
    ending = classify(found)
    exit = Exit.model_validate(ending.exit)
    assert ending.state == state
    assert (exit.code, exit.kind, exit.signal, exit.culprit.rank if exit.culprit else None) == told


def test_starting_again_helps_exactly_where_the_trainer_says_so() -> None:
    """The table of the README is what the error types say."""

    def types(base: type[HydraError]) -> set[type[HydraError]]:
        return {base}.union(*(types(one) for one in base.__subclasses__()))

    told = {error.exit_code: error.retry for error in types(HydraError) if error.__module__ == "hydra.errors"}
    told[1] = True
    for code, retry in told.items():
        assert classify(evidence(code)).exit["retry"] is retry, code


def test_what_is_known_of_a_rank_is_put_together() -> None:
    found = merged(
        [
            Failure(1, 30, code=1),
            Failure(0, 20, signal=9),
            Failure(1, 10, exception="ValueError", message="no"),
            Failure(0, 40, exception="late"),
        ]
    )
    assert found == [
        Failure(1, 10, code=1, exception="ValueError", message="no"),
        Failure(0, 20, signal=9, exception="late"),
    ]


def test_error_files_of_this_attempt_are_read(tmp_path: Path) -> None:
    """The trainer's own, and those of torchrun's form; what an earlier attempt wrote does not count."""
    files = RunFiles(str(tmp_path))
    assert crash_files(files, 0) == [] and launcher_files(files.file("launcher"), 0, 0) == []
    files.create()
    crash = {"code": 5, "exception": "DeviceMemoryError", "message": "full", "rank": 3, "traceback": "..."}
    (tmp_path / "crash" / "rank-3.json").write_text(json.dumps(crash))
    (tmp_path / "crash" / "rank-4.json").write_text("{torn")
    (tmp_path / "crash" / "notes.txt").write_text("x")
    assert final_failure(files, 1, 8) == []
    append(files.events, "run.failed", attempt=1, data={"code": 7, "exception": "PeerLost", "message": "m", "rank": 3})
    [found] = final_failure(files, 1, 8)
    assert (found.rank, found.code, found.exception, found.message) == (3, 7, "PeerLost", "m")
    assert final_failure(files, 2, 8) == []
    [found] = crash_files(files, 0)
    assert (found.rank, found.code, found.exception, found.message) == (3, 5, "DeviceMemoryError", "full")
    assert crash_files(files, found.at_ns + 1) == []
    folder = tmp_path / "launcher" / "id_x" / "attempt_0" / "1"
    folder.mkdir(parents=True)
    error = {"message": {"message": "torch.OutOfMemoryError: CUDA out of memory.", "extraInfo": {"timestamp": "1"}}}
    (folder / "error.json").write_text(json.dumps(error))
    [found] = launcher_files(files.file("launcher"), 8, 0)
    assert (found.rank, found.exception) == (9, "torch.OutOfMemoryError")
    assert classify(evidence(1, failures=[found])).state == "oom"


def test_the_kernels_log_names_whom_it_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "kmsg"
    log.write_text("6,1,2,-;oom-kill:constraint=CONSTRAINT_NONE\n3,2,3,-;Out of memory: Killed process 4711 (python)\n")
    monkeypatch.setattr(evidence_module, "_KERNEL_LOG", str(log))
    assert kernel_killed([4711]) and not kernel_killed([471])
    monkeypatch.setattr(evidence_module, "_KERNEL_LOG", str(tmp_path / "absent"))
    assert not kernel_killed([4711])


SUMMARY = """Root Cause (first observed failure):
[0]:
  time      : 2026-11-20_11:20:51
  host      : localhost
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 4311)  (SIGKILL)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 4311
==========""".splitlines()


def test_a_launchers_summary_is_understood() -> None:
    found = summary_failure(["other: exitcode : 7", *SUMMARY], 8)
    assert found is not None and (found.rank, found.signal, found.code) == (9, 9, None)
    assert summary_failure(SUMMARY[1:], 0) is None


def test_a_tracebacks_last_line_is_understood() -> None:
    lines = [
        "Traceback (most recent call last):",
        '  File "x.py", line 1',
        "torch.OutOfMemoryError: CUDA out of memory.",
    ]
    found = traceback_failure(lines, 2)
    assert found is not None and (found.rank, found.exception) == (2, "OutOfMemoryError")
    assert traceback_failure(["step 3: Error handling is fun"], 0) is None


def test_a_program_that_cannot_start_is_not_tried_again() -> None:
    ending = failed_to_start(FileNotFoundError(2, "No such file or directory"), "/x/python")
    assert ending.state == "failed" and not ending.exit["retry"]
    assert ending.exit["culprit"]["message"] == "/x/python: No such file or directory"


def failure(code: int = 7, exception: str | None = "PeerLost") -> Ending:
    return Ending("failed", exit_field(code, culprit=culprit_field(0, exception=exception), retry=True))


def test_waits_grow_and_scatter() -> None:
    budget = Budget(10, (10.0, 30.0, 90.0), random_source=random.Random(1))
    waits = [budget.decide(failure(), step, 0.0).wait for step in range(5)]
    for wait, base in zip(waits, [10, 30, 90, 90, 90], strict=True):
        assert wait is not None and 0.8 * base <= wait <= 1.2 * base
    assert len(set(waits)) == 5


def test_restarts_are_counted_over_a_rolling_hour() -> None:
    budget = Budget(3, (1.0,))
    granted = [budget.decide(failure(), step, 60.0 * step).wait is not None for step in range(4)]
    assert granted == [True, True, True, False]
    assert budget.decide(failure(), 5, 3599.0).wait is None
    assert budget.decide(failure(), 6, 3601.0).wait is not None
    assert Budget(0, (1.0,)).decide(failure(), 1, 0.0).reason == "restarts are turned off"


def test_the_same_error_at_the_same_step_is_not_retried_and_kills_are() -> None:
    budget = Budget(10, (1.0,))
    assert budget.decide(failure(), 7, 0.0).wait is not None
    assert budget.decide(failure(), 7, 1.0).wait is None
    assert budget.decide(failure(), 8, 2.0).wait is not None
    killed = Ending("killed", exit_field(kind="SIGKILL", signal=9, culprit=culprit_field(0), retry=True))
    assert all(budget.decide(killed, 7, 3.0).wait is not None for _ in range(3))
    bug = failure(1, "KeyError")
    assert budget.decide(bug, 1, 4.0).wait is not None
    assert budget.decide(bug, 2, 5.0).reason == "a bug is given one restart"
