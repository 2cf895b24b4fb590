"""What state a run is really in: what was written down, judged by whether its lock is still held."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from hydra.runs.identity import boot_id, machine_id
from hydra.runs.layout import RunDirectory
from hydra.runs.lock import lock_status
from hydra.runs.state import LifeCycle, State, read_state

#: Seconds without a heartbeat after which a run on another machine counts as dead. Beats come every second.
BEAT_LIMIT = 60.0


@dataclass(frozen=True, slots=True)
class Observed:
    """The state of a run as far as this machine can tell."""

    state: LifeCycle | None
    """None if the run never wrote one and nobody holds its lock."""
    written: State | None
    """What `state.json` says."""
    reason: str
    """Why `state` is not simply what was written; empty if it is."""


def observed_state(run: RunDirectory) -> Observed:
    """Judge a run's state.

    - A terminal state stands as written.
    - A live state with its lock held stands. The lock is the supervisor's if the state names one, because it also
      covers the time between two attempts, else the trainer's.
    - A live state with a free lock is `lost`: whoever held it died without a word. A machine that was rebooted since is
      given as the reason.
    - On a machine other than the writer's, a lock that seems free proves nothing (not every network file system carries
      locks): the run is `lost` once its heartbeat is 60 s old, and stands as written until then.
    - No state at all is `starting` if the trainer's lock is held.
    """
    written = read_state(run.state)
    if written is None:
        if lock_status(run.lock).held:
            return Observed("starting", None, "the trainer has not written a state yet")
        return Observed(None, None, "no state was ever written")
    if not written.live or _held(run, written):
        return Observed(written.state, written, "")
    # It may have ended properly between the two looks: the state is written before the lock is freed.
    written = read_state(run.state) or written
    if not written.live:
        return Observed(written.state, written, "")
    return _without_lock(run, written)


def _held(run: RunDirectory, written: State) -> bool:
    return lock_status(run.lock if written.supervisor is None else run.supervisor_lock).held


def _without_lock(run: RunDirectory, written: State) -> Observed:
    owner = "trainer" if written.supervisor is None else "supervisor"
    if written.machine_id != machine_id():
        age = _age(run.progress)
        if age is not None and age <= BEAT_LIMIT:
            return Observed(written.state, written, "runs on another machine")
        return Observed("lost", written, "runs on another machine, and its heartbeat stopped")
    if written.boot_id != boot_id():
        return Observed("lost", written, "host rebooted")
    return Observed("lost", written, f"the {owner} died without a final record")


def _age(path: Path) -> float | None:
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None
