"""The agent's command `runs`: every run of a deploy_dir with its real state, cheap enough to be asked every second.

It is also the reader that tells of runs whose supervisor could not: a state that claims to live under a free lock is
written as `lost`, with the reason.
"""

from __future__ import annotations

import os
import re
import time
from typing import Any

from fleet.remote import checkpoints, locks
from fleet.remote.atomic import read_json
from fleet.remote.fields import RUN_ID, Fields
from fleet.remote.figures import figures
from fleet.remote.lost import foreign, settled
from fleet.remote.places import DeployDir, RunFiles
from fleet.remote.refusal import Answer, answered
from fleet.remote.segments import log_end
from fleet.remote.states import LIVE, TERMINAL

_STAMP = re.compile(r"-[0-9]{8}-[0-9]{6}-[a-z2-7]{4}\Z")
#: Seconds after which a run of another machine counts as dead. Its heart beats every second.
_BEAT_LIMIT = 60.0


def main(request: Any) -> tuple[Answer, int]:
    """List `{"deploy_dir", "run": id or null}`, newest first.

    The answer holds `runs` of `{id, name, attempt, state, reason, live, step, total_steps, loss, phase, started, ended,
    exit, checkpoint: {newest, best, verified}, nodes, node_rank, gpus, release, environment, release_path,
    environment_path, restarts, log_offset, line_age, step_age}`. Ages are seconds by the clock of the host. A run that
    cannot be read is a row with state null and its reason, and hides no other.
    """
    return answered(_list, request)


def _list(request: Answer) -> Answer:
    fields = Fields(request, "runs")
    home = DeployDir.at(fields.text("deploy_dir"))
    wanted = fields.optional("run", RUN_ID)
    fields.finish()
    rows = [row(files) for files in home.runs() if wanted in (None, files.run)]
    return {"runs": sorted(rows, key=lambda found: found["started"] or 0.0, reverse=True)}


def row(files: RunFiles) -> Answer:
    """One run."""
    reason = ""
    try:
        state = settled(files) or {}
    except OSError as error:
        state, reason = {}, f"{error.filename or files.path}: {error.strerror}"
    told = read_json(files.launch) or {}
    name = told.get("name")
    return {
        "id": files.run,
        "name": name if isinstance(name, str) else _STAMP.sub("", files.run),
        "attempt": state.get("attempt"),
        "state": state.get("state"),
        "reason": reason or _reason(files, state),
        "live": locks.is_held(files.supervisor_lock),
        "started": told.get("created"),
        "ended": state.get("since") if state.get("state") in TERMINAL else None,
        "exit": state.get("exit"),
        "nodes": state.get("node_count"),
        "node_rank": state.get("node_rank"),
        "gpus": state.get("gpus"),
        "release": state.get("release"),
        "environment": state.get("environment"),
        "release_path": told.get("release_path"),
        "environment_path": told.get("environment_path"),
        "restarts": state.get("restarts_used"),
        **_progress(files, state),
    }


def _progress(files: RunFiles, state: Answer) -> Answer:
    found = figures(files)
    offset, line_age = log_end(files.log)
    return {
        "step": state.get("last_step") if found.step is None else found.step,
        "total_steps": found.total_steps,
        "loss": found.loss,
        "phase": found.phase if state.get("state") in LIVE else None,
        "step_age": found.step_age,
        "checkpoint": {
            "newest": checkpoints.newest_recorded(files, state.get("attempt") or 0),
            "best": checkpoints.pointed(files, "best"),
            "verified": state.get("last_verified_checkpoint"),
        },
        "log_offset": offset,
        "line_age": line_age,
    }


def _reason(files: RunFiles, state: Answer) -> str:
    """Why a state is what it is, where the state does not say it by itself."""
    if not state:
        return "it never got as far as a state" if not os.path.exists(files.state) else "its state cannot be read"
    if state["state"] == "lost":
        return str((state.get("exit") or {}).get("kind") or "")
    if state["state"] in LIVE and foreign(files, state):
        age = _age(files.file("progress.json"))
        beats = age is not None and age <= _BEAT_LIMIT
        return "runs on another machine" if beats else "another machine's, and its heartbeat stopped"
    return ""


def _age(path: str) -> float | None:
    try:
        return time.time() - os.stat(path).st_mtime
    except OSError:
        return None
