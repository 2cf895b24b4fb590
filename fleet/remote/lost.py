"""The end of runs whose supervisor did not live to tell it: written by the next reader that gets the lock."""

from __future__ import annotations

import json
import os
import time
from typing import Any, NamedTuple

from fleet.remote import events, locks, salvage
from fleet.remote.atomic import read_json
from fleet.remote.cgroups import RunGroup
from fleet.remote.figures import last_step
from fleet.remote.frames import END, unescape
from fleet.remote.identity import boot_id, machine_id
from fleet.remote.locks import Held, SupervisorLock
from fleet.remote.places import RunFiles
from fleet.remote.segments import Segments, find_tail
from fleet.remote.states import LIVE, TERMINAL, StateFile, exit_field, read_state

REBOOTED = "host rebooted"
DIED = "the supervisor died without a final record"


class Judged(NamedTuple):
    """How a run without supervisor ended, as far as its files tell."""

    state: dict[str, Any] | None
    """None if there is nothing to judge."""
    final: bool = False
    """Whether the file says so already."""
    lost: bool = False
    """Whether nobody has told the end yet."""
    notes: tuple[str, ...] = ()
    """What is said of a state that had to be pieced together."""


def settled(files: RunFiles) -> dict[str, Any] | None:
    """The state of a run as it really is; None if it has none.

    A state that claims to live under a free lock becomes `lost`, in the file too; so does one that is torn. A lock on a
    file system that another machine wrote to proves nothing, so such states stay as they are. Raises OSError if the
    disk refuses.
    """
    state = read_state(files.state)
    ended = state["state"] not in LIVE if state is not None else not (salvage.damage(files) and salvage.began(files))
    if ended or foreign(files, state) or locks.is_held(files.supervisor_lock):
        return state
    try:
        with SupervisorLock.take(files.supervisor_lock, attempt=0 if state is None else state["attempt"]):
            return settle(files)
    except Held:
        return read_state(files.state)


def settle(files: RunFiles, *, certain: bool = False) -> dict[str, Any] | None:
    """The same for a caller that holds the lock; `certain` as of `judge`."""
    try:
        return _written(files, judge(files, certain=certain))
    except OSError:
        # Some space may be set aside for just this. What was written of the log by now is found by the second look.
        if not StateFile(files.state, {}).free_reserve():
            raise
        return _written(files, judge(files, certain=certain))


def judge(files: RunFiles, *, certain: bool = False) -> Judged:
    """What `settle` would write, with nothing written.

    A run without a readable state is judged if its supervisor began, or anyway where it is `certain` that it is one.
    """
    state = read_state(files.state)
    notes: tuple[str, ...] = ()
    reason = REBOOTED if state is not None and state.get("boot_id") != boot_id() else DIED
    if state is None:
        wrong = salvage.damage(files)
        if not wrong or not (salvage.began(files) or (certain and salvage.is_run(files))):
            return Judged(None, final=True)
        attempt, witness = salvage.newest_attempt(files)
        state = salvage.pieced_together(files, attempt)
        notes = (f"state.json {wrong}", f"attempt {attempt} is known from {witness}")
        reason = f"state.json {wrong.replace('is ', 'was ', 1)}, and no supervisor lives"
    elif state["state"] not in LIVE:
        return Judged(state, final=True)
    told = _told_by_log(files)
    if told is not None:
        # It died between its last frame and its last state: the frame says how the run ended.
        return Judged({**state, **told, "since": time.time()}, notes=notes)
    lost = {**state, "state": "lost", "since": time.time(), "exit": exit_field(kind=reason, retry=True)}
    return Judged(lost, lost=True, notes=notes)


def foreign(files: RunFiles, state: dict[str, Any] | None) -> bool:
    """Whether another machine wrote a state, or started a run without one, as happens in a shared home directory."""
    if state is None:
        return salvage.of_another_machine(files)
    return bool(state.get("machine_id") != machine_id())


def _written(files: RunFiles, judged: Judged) -> dict[str, Any] | None:
    """Write an end down: log, event, state. Raises OSError."""
    state = judged.state
    if state is None or judged.final:
        return state
    if judged.lost:
        state = {**state, **_lost(files, state)}
    if judged.notes:
        salvage.set_torn_aside(files)
    file = StateFile(files.state, state)
    if not file.retry():
        assert file.problem is not None, "what is not written has a reason"
        raise file.problem
    # Until here for the end alone; now the rest may have it.
    file.free_reserve()
    return file.fields


def _lost(files: RunFiles, state: dict[str, Any]) -> dict[str, Any]:
    """End the log of a lost run and tell of it; returns the fields that are known then."""
    step, exit = last_step(files, state["attempt"]), state["exit"]
    os.makedirs(files.log, exist_ok=True)
    log = Segments(files.log, _whole(state.get("node_rank")))
    log.end(json.dumps({"state": "lost", "exit": exit}, separators=(",", ":")).encode("ascii"))
    log.close()
    if log.problem is not None:
        raise log.problem
    if not locks.is_held(files.lock):
        data = {"attempt": state["attempt"], "reason": exit["kind"], "by": "reader"}
        events.append(files.events, "run.lost", attempt=state["attempt"], step=step, level="warning", data=data)
    group = RunGroup.at((read_json(files.launch) or {}).get("control_group"), files.path)
    if group is not None:
        group.remove()
    return {"log_offset": log.offset, **({} if step is None else {"last_step": step})}


def _told_by_log(files: RunFiles) -> dict[str, Any] | None:
    """State and exit of the log's last frame, if that ended the run for good."""
    tail = find_tail(files.log)
    if tail.flags != END or tail.torn or not tail.newest:
        return None
    try:
        told = json.loads(unescape(tail.text).decode("utf-8"))
    except ValueError:
        return None
    known = isinstance(told, dict) and told.get("state") in TERMINAL and isinstance(told.get("exit"), dict)
    return {"state": told["state"], "exit": told["exit"]} if known else None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
