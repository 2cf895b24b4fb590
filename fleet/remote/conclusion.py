"""What is written when an attempt or a run has ended: events, the proof of a checkpoint, what a stop achieved."""

from __future__ import annotations

import threading
import time
from typing import Any, Callable

from fleet.remote import checkpoints, events
from fleet.remote.atomic import write_json
from fleet.remote.checkpoints import Search, Verified
from fleet.remote.classify import Ending
from fleet.remote.figures import last_step
from fleet.remote.places import RunFiles
from fleet.remote.processes import Process, command
from fleet.remote.stopping import Stop


class Verification:
    """The search for the newest good checkpoint, in a thread, because hashing takes minutes and a loop must go on."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._found: Search | None = None
        self._thread = threading.Thread(target=self._search, name="verification", daemon=True)
        self._thread.start()

    def result(self, turn: Callable[[], None]) -> Search:
        """Wait for the result; `turn` is called meanwhile."""
        while self._thread.is_alive():
            turn()
        # A thread that ended without a result has printed why; nothing is known to be good then.
        return self._found or Search(None, [])

    @property
    def done(self) -> bool:
        """Whether `result` would not wait."""
        return not self._thread.is_alive()

    def _search(self) -> None:
        self._found = checkpoints.newest(self._files)


def record_final(files: RunFiles, attempt: int, ending: Ending, verified: Verified | None) -> None:
    """Add the final record of an attempt whose trainer could not write it itself. Raises OSError."""
    culprit = ending.exit["culprit"] or {}
    facts = {
        "state": ending.state,
        "code": ending.exit["code"],
        "signal": ending.exit["signal"],
        "kind": ending.exit["kind"],
        "exception": culprit.get("exception"),
        "message": culprit.get("message", ""),
        "rank": culprit.get("rank", 0),
        "retry": ending.exit["retry"],
        "by": "supervisor",
    }
    kind, level = "run.failed", "error"
    if ending.state == "stopped":
        kind, level = "run.stopped", "warning"
        facts["saved_step"] = None if verified is None else verified.step
    events.append(files.events, kind, attempt=attempt, step=last_step(files, attempt), level=level, data=facts)


def record_rejected(files: RunFiles, attempt: int, search: Search) -> None:
    """Note the torn checkpoints that were passed over. Raises OSError."""
    for rejected in search.rejected:
        facts = {"step": rejected.step, "problems": rejected.problems[:10], "by": "supervisor"}
        events.append(
            files.events, "checkpoint.rejected", attempt=attempt, step=rejected.step, level="warning", data=facts
        )


def record_restart(files: RunFiles, attempt: int, ending: Ending, used: int, verified: Verified | None) -> None:
    """Note that an attempt begins because the one before it ended. Raises OSError."""
    facts = {
        "previous": ending.state,
        "exit": ending.exit,
        "restarts_used": used,
        "checkpoint": None if verified is None else verified.field(),
    }
    events.append(files.events, "run.restarted", attempt=attempt, level="warning", data=facts)


def proof(files: RunFiles, attempt: int, verified: Verified | None, asked_ns: int) -> dict[str, Any]:
    """What a stop saved: the newest verified checkpoint, whether it is the stop's own, and how many steps are lost.

    A run that was at the very step of an older checkpoint had nothing more to save, and one without a step nothing.
    """
    reached = last_step(files, attempt)
    if reached is None:
        reached = events.last_beginning(files.events)[1]
    lost = max(0, reached - (0 if verified is None else verified.step))
    checkpoint = None if verified is None else {"step": verified.step, "verified": True, "quick": verified.quick}
    saved = verified is not None and verified.written_ns >= asked_ns
    return {"checkpoint": checkpoint, "proven": saved or lost == 0, "steps_lost": lost}


def write_stop_report(files: RunFiles, stop: Stop, proven: dict[str, Any], survivors: list[Process]) -> None:
    """Tell `stop` what came of its request. Raises OSError."""
    report = {"time": time.time(), "by": stop.by, "asked_ns": stop.asked_ns, **proven, "survivors": shown(survivors)}
    write_json(files.stop_report, report)


def shown(processes: list[Process]) -> list[dict[str, Any]]:
    """Processes for an answer."""
    return [{"pid": process.pid, "start": process.start, "command": command(process.pid)} for process in processes]
