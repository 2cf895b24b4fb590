"""The end of runs whose supervisor did not live to tell it: written by the next reader that gets the lock."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from fleet.remote import events, locks
from fleet.remote.atomic import read_json, write_json
from fleet.remote.cgroups import RunGroup
from fleet.remote.figures import last_step
from fleet.remote.frames import END, unescape
from fleet.remote.identity import boot_id, machine_id
from fleet.remote.locks import Held, SupervisorLock
from fleet.remote.places import RunFiles
from fleet.remote.segments import Segments, find_tail
from fleet.remote.states import LIVE, TERMINAL, exit_field, read_state

REBOOTED = "host rebooted"
DIED = "the supervisor died without a final record"


def settled(files: RunFiles) -> dict[str, Any] | None:
    """The state of a run as it really is; None if it has none.

    A state that claims to live under a free lock becomes `lost`, in the file too. A lock on a file system that another
    machine wrote to proves nothing, so such states stay as they are. Raises OSError if the disk refuses.
    """
    state = read_state(files.state)
    if state is None or state["state"] not in LIVE or foreign(state) or locks.is_held(files.supervisor_lock):
        return state
    try:
        with SupervisorLock.take(files.supervisor_lock, attempt=state["attempt"]):
            return settle(files)
    except Held:
        return read_state(files.state)


def settle(files: RunFiles) -> dict[str, Any] | None:
    """The same for a caller that holds the lock."""
    state = read_state(files.state)
    if state is None or state["state"] not in LIVE:
        return state
    told = _told_by_log(files)
    if told is not None:
        # It died between its last frame and its last state: the frame says how the run ended.
        ended = {**state, **told, "since": time.time()}
        write_json(files.state, ended)
        return ended
    reason = REBOOTED if state.get("boot_id") != boot_id() else DIED
    step = last_step(files, state["attempt"])
    os.makedirs(files.log, exist_ok=True)
    log = Segments(files.log, _whole(state.get("node_rank")))
    exit = exit_field(kind=reason, retry=True)
    log.end(json.dumps({"state": "lost", "exit": exit}, separators=(",", ":")).encode("ascii"))
    log.close()
    if not locks.is_held(files.lock):
        data = {"attempt": state["attempt"], "reason": reason, "by": "reader"}
        events.append(files.events, "run.lost", attempt=state["attempt"], step=step, level="warning", data=data)
    group = RunGroup.at((read_json(files.launch) or {}).get("control_group"), files.path)
    if group is not None:
        group.remove()
    lost = {**state, "state": "lost", "since": time.time(), "exit": exit, "log_offset": log.offset}
    if step is not None:
        lost["last_step"] = step
    write_json(files.state, lost)
    return lost


def foreign(state: dict[str, Any]) -> bool:
    """Whether another machine wrote a state, as happens in a shared home directory."""
    return bool(state.get("machine_id") != machine_id())


def _told_by_log(files: RunFiles) -> dict[str, Any] | None:
    """State and exit of the log's last frame, if that ended the run for good."""
    tail = find_tail(files.log)
    if tail.flags != END or tail.torn:
        return None
    try:
        told = json.loads(unescape(tail.text).decode("utf-8"))
    except ValueError:
        return None
    known = isinstance(told, dict) and told.get("state") in TERMINAL and isinstance(told.get("exit"), dict)
    return {"state": told["state"], "exit": told["exit"]} if known else None


def _whole(value: Any) -> int:
    return value if isinstance(value, int) else 0
