"""The agent's command `start`: make a supervisor, and answer when its run is on its way or has failed.

It is idempotent by run id: when an answer was lost with its connection, asking again gives the existing run.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import Any

from fleet.remote import locks
from fleet.remote.daemon import in_daemon
from fleet.remote.launch import Launch
from fleet.remote.lost import foreign, settled
from fleet.remote.pinning import pin
from fleet.remote.places import DeployDir, RunFiles
from fleet.remote.preparation import Exists, Order, is_there, prepared, supervise
from fleet.remote.refusal import Answer, Refusal, answered, refused_by_disk
from fleet.remote.reporter import Reporter
from fleet.remote.salvage import refuse_another_version
from fleet.remote.segments import last_lines
from fleet.remote.states import process_of, read_state
from fleet.remote.surroundings import read_secrets

#: Seconds beyond the confirmation for which an existing run may still be starting.
_PATIENCE = 5.0
_PAUSE = 0.05
_LINES = 20


def main(request: Any) -> tuple[Answer, int]:
    """Start or resume a run: the launch request of `fleet.remote.launch`.

    The answer holds `run`, `state`, `attempt`, `existing`, `supervisor` of `{pid, start}`, `confirmed` (`line`: the
    trainer has written something; `alive`: it lived for `confirm_seconds`; null: it ended before), and for one that
    ended `exit`, its last `lines`, and `restart_in`: the seconds until it is tried again, or null.
    """
    return answered(_start, request)


def _start(request: Answer) -> Answer:
    launch = Launch.parse(request)
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode("utf-8")).hexdigest()
    home = DeployDir.at(launch.deploy_dir)
    files = home.run(launch.run)
    _refuse_absent_or_foreign(launch, files)
    if is_there(launch, files, digest, held=_is_live(files)):
        return _existing(launch, files)
    order = Order(launch, home, files, pin(launch, home), read_secrets(home, launch.secrets), digest)
    outcome = in_daemon(lambda descriptor: _daemon(order, Reporter(descriptor)))
    if outcome is None:
        raise _broke(files)
    if outcome["outcome"] == "refused":
        raise Refusal(outcome["kind"], outcome["what"], **{part: outcome[part] for part in ("why", "fix", "example")})
    if outcome["outcome"] != "existing":
        return _answer(files, outcome)
    _refuse_another(launch, files, digest)
    return _existing(launch, files)


def _daemon(order: Order, reporter: Reporter) -> None:
    """What the new process does: get everything that the run needs, then live its life."""
    try:
        ready = prepared(order, reporter)
    except Exists:
        reporter.tell("existing", {})
    except Refusal as refusal:
        reporter.tell("refused", refusal.parts)
    except OSError as error:
        reporter.tell("refused", refused_by_disk(error, order.files.path).parts)
    else:
        supervise(ready)


def _refuse_absent_or_foreign(launch: Launch, files: RunFiles) -> None:
    if launch.resume and not os.path.isdir(files.path):
        raise Refusal(
            "not-found",
            f"there is no run {launch.run} to resume",
            why=f"{os.path.dirname(files.path)} does not hold it",
            fix="choose one of the runs that are there",
            example="fleet runs",
        )
    refuse_another_version(files)
    if foreign(files, read_state(files.state)):
        raise Refusal(
            "busy",
            f"run {launch.run} belongs to another machine that shares this folder",
            why="its processes and locks cannot be judged from here",
            fix="use the host that it was started on",
            example="fleet resume lab-b",
        )


def _is_live(files: RunFiles) -> bool:
    """Whether the run has a supervisor. One that has just taken the lock is waited for until it has written who it is
    and what it was told, since before that its files are those of the attempt before."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        holder, state = locks.holder_of(files.supervisor_lock), read_state(files.state)
        if not locks.is_held(files.supervisor_lock):
            return False
        if holder is not None and state is not None and process_of(state, "supervisor") == holder:
            return True
        time.sleep(_PAUSE)
    return True


def _refuse_another(launch: Launch, files: RunFiles, digest: str) -> None:
    """Of two resumes at the same moment the second finds the device taken by its own run. Only when the first has
    written down its request is it known whether that was the same one. Raises Refusal of kind busy if it was not."""
    deadline = time.monotonic() + _PATIENCE
    while launch.resume and not is_there(launch, files, digest, held=_is_live(files)):
        if time.monotonic() > deadline:
            raise Refusal(
                "busy",
                f"run {launch.run} was resumed by somebody else at this moment",
                why="two supervisors of one run would start two trainers",
                fix="see what became of it, then try again",
                example="fleet runs lab-a",
            )
        time.sleep(_PAUSE)


def _existing(launch: Launch, files: RunFiles) -> Answer:
    """The answer for a run that is there; one that is being started at this moment is waited for."""
    deadline = time.monotonic() + launch.confirm_seconds + _PATIENCE
    while time.monotonic() < deadline:
        state = settled(files)
        if state is not None and state["state"] != "starting":
            break
        time.sleep(_PAUSE)
    return _answer(files, {"existing": True})


def _answer(files: RunFiles, outcome: Answer) -> Answer:
    """The run's state, or how its first attempt ended if `start` saw that."""
    state = read_state(files.state)
    if state is None:
        raise _broke(files)
    live = locks.is_held(files.supervisor_lock)
    found: Answer = {
        "state": state["state"],
        "exit": state.get("exit"),
        "lines": [],
        "confirmed": "alive" if live else None,
    }
    if not live:
        found["lines"] = last_lines(files.log, _LINES)
    told: Answer = {
        name: outcome[name] for name in ("state", "exit", "lines", "confirmed", "restart_in") if name in outcome
    }
    if "exit" in outcome:
        told["confirmed"] = None
    return {
        "run": files.run,
        "attempt": state["attempt"],
        "existing": bool(outcome.get("existing")),
        "supervisor": state.get("supervisor"),
        "restart_in": None,
        **found,
        **told,
    }


def _broke(files: RunFiles) -> Refusal:
    try:
        with open(files.file("supervisor.log"), encoding="utf-8", errors="replace") as file:
            words = " | ".join(file.read().strip().splitlines()[-3:])
    except OSError as error:
        words = f"its log cannot be read: {error.strerror}"
    return Refusal(
        "remote",
        f"the supervisor of run {files.run} ended without an answer: {words or 'it said nothing'}",
        why="it met something that it was not made for",
        fix="look at supervisor.log in the run's directory on the host",
        example="fleet download lab-a --run RUN --include supervisor.log --checkpoint none",
    )
