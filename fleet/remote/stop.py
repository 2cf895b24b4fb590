"""The agent's command `stop`: end a run gracefully, then for certain, and say what was saved.

A living supervisor does it, asked through a file, so that a stop goes on when the connection that asked for it is cut.
Where the supervisor has died, this command takes its lock and ends what is left itself.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any

from fleet.remote import conclusion, locks
from fleet.remote.atomic import read_json, write_json
from fleet.remote.cgroups import RunGroup
from fleet.remote.checkpoints import BUDGET, newest
from fleet.remote.fields import Fields
from fleet.remote.identity import NotThatProcess, send_signal
from fleet.remote.locks import Held, SupervisorLock
from fleet.remote.lost import foreign, judge, settle
from fleet.remote.places import DeployDir, RunFiles
from fleet.remote.processes import Snapshot
from fleet.remote.refusal import Answer, Refusal, answered
from fleet.remote.salvage import damage, is_run, kept_names, refuse_another_version
from fleet.remote.states import TERMINAL, read_state
from fleet.remote.stopping import write_request
from fleet.remote.sweep import LIMIT, sweep

#: Seconds within which a supervisor takes a request; it looks every 0.2 s.
PATIENCE = 10.0
#: Seconds beyond the grace for killing, reading what is left and verifying a checkpoint.
_MARGIN = 2 * LIMIT + BUDGET + 30
_PAUSE = 0.05
#: Bytes that a state takes, and some more.
_ROOM = 8 << 10


def main(request: Any) -> tuple[Answer, int]:
    """Stop a run: `{"deploy_dir", "run", "grace": 60, "kill": false}`.

    The answer holds `run`, `state`, `already` (it had ended before), `checkpoint` of `{step, verified, quick}` or null,
    `proven` (the checkpoint is newer than the request, or nothing is lost), `steps_lost`, `survivors`, `exit`, and
    `notes`: what was not as it should be, above all a state that could not be read or written.
    """
    return answered(_stop, request)


def _stop(request: Answer) -> Answer:
    fields = Fields(request, "stop")
    files = DeployDir.at(fields.text("deploy_dir")).existing_run(fields.text("run"))
    grace, kill = fields.seconds("grace", 60), fields.flag("kill", False)
    fields.finish()
    state = read_state(files.state)
    refuse_another_version(files)
    if foreign(files, state):
        raise _refused(
            f"run {files.run} belongs to another machine that shares this folder", "ask the host that it was started on"
        )
    began, asked, notes = time.time(), False, _found(files, state)
    while True:
        try:
            with SupervisorLock.take(files.supervisor_lock, attempt=0 if state is None else state["attempt"]):
                return _ended(files, began, asked, notes) or _without_supervisor(files, notes)
        except Held:
            if not asked:
                _ask(files, grace, kill)
            asked = True
            _wait(files, grace, kill)


def _found(files: RunFiles, state: Answer | None) -> list[str]:
    """What is there of a run whose state cannot be read. Raises Refusal for a folder that is no run's."""
    if state is not None:
        return []
    if not is_run(files):
        raise Refusal(
            "not-found",
            f"{files.path} is not the directory of a run",
            why="it has neither a state nor a launch, a record or a log",
            fix="choose one of the runs that are there",
            example="fleet runs",
        )
    if not locks.is_held(files.supervisor_lock):
        return []
    holder = locks.holder_of(files.supervisor_lock)
    who = "its supervisor" if holder is None else f"its supervisor, process {holder.pid},"
    return [f"state.json {damage(files)}; {who} lived and was asked to stop"]


def _ask(files: RunFiles, grace: float, kill: bool) -> None:
    """Ask the supervisor through its file, or by a signal where nothing can be written: a full disk stops no stop.

    The signal carries no grace: the supervisor takes the one that the run was started with.
    """
    try:
        write_request(files, grace, kill)
    except OSError:
        _signal(files, signal.SIGKILL if kill else signal.SIGTERM)


def _wait(files: RunFiles, grace: float, kill: bool) -> None:
    """Wait until the supervisor has let go of the lock. Raises Refusal if it does not in time."""
    asked = time.monotonic()
    until, look = asked + grace + _MARGIN, asked + PATIENCE
    while locks.is_held(files.supervisor_lock):
        now = time.monotonic()
        if now > look:
            look = now + PATIENCE
            if os.path.exists(files.stop_request):
                _deaf(files, kill)
            elif kill and _only_insists(files):
                _signal(files, signal.SIGKILL)
        if now > until:
            raise _refused(f"run {files.run} did not end within {until - asked:.0f} s", "use --kill")
        time.sleep(_PAUSE)


def _deaf(files: RunFiles, kill: bool) -> None:
    """A supervisor that does not take requests: stopped by a debugger, or stuck in the kernel."""
    if not kill:
        raise _refused(f"the supervisor of run {files.run} does not answer", "use --kill: it ends the supervisor too")
    _signal(files, signal.SIGKILL)


def _only_insists(files: RunFiles) -> bool:
    """Whether a supervisor has nothing left to end, and waits for a disk that takes not even a small file."""
    holder = locks.holder_of(files.supervisor_lock)
    if holder is None or Snapshot().of_run(files.run, holder.pid, files.path):
        return False
    probe = files.file("control", f".fleet.probe.{os.getpid()}.tmp")
    try:
        write_json(probe, {"room": "x" * _ROOM})
    except OSError:
        return True
    os.unlink(probe)
    return False


def _signal(files: RunFiles, number: int) -> None:
    """Send a signal to the supervisor, if one holds the lock. Raises Refusal if that cannot be done for certain."""
    holder = locks.holder_of(files.supervisor_lock)
    if holder is None:
        return
    try:
        send_signal(holder, number)
    except NotThatProcess as error:
        raise _refused(f"the supervisor of run {files.run} cannot be ended: {error}", "look at the host") from error


def _ended(files: RunFiles, began: float, asked: bool, notes: list[str]) -> Answer | None:
    """The answer for a run that has ended and left nothing behind; None if there is something to end."""
    state = read_state(files.state)
    if state is None or state["state"] not in TERMINAL:
        return None
    report = read_json(files.stop_report) or {}
    if report.get("time", 0.0) < began:
        report = {}
    verified = state.get("last_verified_checkpoint")
    checkpoint = {**verified, "verified": True} if isinstance(verified, dict) else None
    group = _control_group(files)
    killed, survivors = sweep(files.run, supervisor=None, group=group, folder=files.path)
    if group is not None:
        group.remove()
    found = {"checkpoint": checkpoint, "proven": True, "steps_lost": 0, "survivors": conclusion.shown(survivors)}
    told = {name: report[name] for name in found if name in report}
    if (asked or killed or state["state"] == "lost") and not report:
        # It ended while this command waited, and could not write down what it proved; or its supervisor had died, so
        # that nobody has proved anything yet.
        told = conclusion.proof(files, state["attempt"], newest(files).verified, int(began * 1e9))
    already = not (asked or report or killed)
    return {
        "run": files.run,
        "state": state["state"],
        "exit": state.get("exit"),
        "already": already,
        **found,
        **told,
        "notes": [*notes, *(_left(files, state, killed) if state["state"] == "lost" else [])],
    }


def _without_supervisor(files: RunFiles, notes: list[str]) -> Answer:
    """End what a dead supervisor left, and write down that it was lost."""
    asked_ns = time.time_ns()
    killed, survivors = sweep(files.run, supervisor=None, group=_control_group(files), folder=files.path)
    judged = judge(files, certain=True)
    state, problem = judged.state, ""
    try:
        state = settle(files, certain=True)
    except OSError as error:
        problem = f"how it ended could not be written into {files.path}: {error.strerror}"
    assert state is not None, "what is no run was refused before"
    search = newest(files)
    return {
        "run": files.run,
        "state": state["state"],
        "exit": state.get("exit"),
        "already": False,
        **conclusion.proof(files, state["attempt"], search.verified, asked_ns),
        "survivors": conclusion.shown(survivors),
        "notes": [*notes, *judged.notes, *_left(files, state, killed), *([problem] if problem else [])],
    }


def _left(files: RunFiles, state: Answer, killed: int) -> list[str]:
    """What is said of a run that had no supervisor."""
    reason, kept = (state.get("exit") or {}).get("kind"), kept_names(files)
    parts = [str(reason)] if reason else []
    parts += [f"torn states are kept as {', '.join(kept)}"] if kept else []
    parts.append("its lock was free")
    parts.append(f"{killed} processes were left and killed" if killed else "no process of it was left")
    return ["; ".join(parts)]


def _control_group(files: RunFiles) -> RunGroup | None:
    return RunGroup.at((read_json(files.launch) or {}).get("control_group"), files.path)


def _refused(what: str, fix: str) -> Refusal:
    return Refusal(
        "stop-incomplete",
        what,
        why="a stop is only reported when nothing of the run is left",
        fix=fix,
        example="fleet stop lab-a --kill",
    )
