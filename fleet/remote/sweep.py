"""Ending all processes of a run for certain: killed again and again until two looks in a row find none."""

from __future__ import annotations

import signal
import time
from typing import Callable

from fleet.remote.cgroups import RunGroup
from fleet.remote.identity import NotThatProcess, send_signal
from fleet.remote.processes import Process, Snapshot

#: Seconds after which what still lives is reported as a survivor: the kernel itself cannot end it.
LIMIT = 10.0
_PAUSE = 0.02
_SWEEPS = 2


def sweep(
    run: str,
    *,
    supervisor: int | None,
    group: RunGroup | None,
    folder: str | None = None,
    pause: Callable[[float], None] = time.sleep,
    limit: float = LIMIT,
) -> tuple[int, list[Process]]:
    """Kill every process of a run: at once through its control group where there is one, then one by one.

    `supervisor` is the pid of the living supervisor, whose descendants all belong to the run, `folder` the run's
    directory. `pause` is what to do between looks; a supervisor collects its children there. Returns how many were
    found alive, and the survivors.
    """
    deadline = time.monotonic() + limit
    met: set[tuple[int, int]] = set()
    empty = 0
    while True:
        found = Snapshot().of_run(run, supervisor, folder)
        if group is not None and not met:
            # Behind the first look, which counts them, and again while nobody was seen: daemons may hide from a look.
            group.kill()
        met |= {(process.pid, process.start) for process in found}
        empty = 0 if found else empty + 1
        if empty >= _SWEEPS or time.monotonic() > deadline:
            return len(met), found
        for process in found:
            _kill(process)
        pause(_PAUSE)


def _kill(process: Process) -> None:
    try:
        send_signal(process.identity(), signal.SIGKILL)
    except (NotThatProcess, PermissionError):
        # It ended meanwhile, or it belongs to somebody else now; the next look says which.
        return
