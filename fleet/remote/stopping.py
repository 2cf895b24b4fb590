"""Requests to stop, as they reach a supervisor: a file that `stop` wrote, a TERM, or an order of the group."""

from __future__ import annotations

import os
import time
from typing import NamedTuple

from fleet.remote.atomic import read_json, write_json
from fleet.remote.places import RunFiles


class Stop(NamedTuple):
    """A stop that is being carried out."""

    by: str
    """Who asked, for people."""
    asked_ns: int
    """When, by the clock of the file system: a checkpoint newer than this proves that the stop saved."""
    deadline: float
    """Monotonic time after which everything is killed."""
    kill: bool
    """Whether nobody should wait."""


class Stops:
    """Watches for requests. Later ones can only make an earlier one more urgent."""

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self._since_ns = os.stat(files.supervisor_lock).st_mtime_ns
        self.stop: Stop | None = None
        """The stop to be carried out; None while nobody asked."""

    def poll(self) -> None:
        """Look for a request in the file that `write_request` writes; it stays as evidence under another name."""
        path = self._files.stop_request
        try:
            asked_ns = os.stat(path).st_mtime_ns
        except OSError:
            return
        if asked_ns < self._since_ns:
            # Meant for an earlier supervisor, which ended before it took it. One clock, the file system's, made both.
            os.replace(path, self._files.file("control", "fleet.stop.stale.json"))
            return
        request = read_json(path) or {}
        grace = request.get("grace")
        seconds = float(grace) if isinstance(grace, (int, float)) and grace >= 0 else 0.0
        os.replace(path, self._files.file("control", "fleet.stop.seen.json"))
        self.ask("fleet stop", seconds, kill=request.get("kill") is True, asked_ns=asked_ns)

    def ask(self, by: str, grace: float, *, kill: bool = False, asked_ns: int | None = None) -> None:
        """Ask to stop within so many seconds."""
        moment = time.time_ns() if asked_ns is None else asked_ns
        stop = Stop(by, moment, time.monotonic() + grace, kill)
        if self.stop is not None:
            stop = self.stop._replace(deadline=min(self.stop.deadline, stop.deadline), kill=self.stop.kill or kill)
        self.stop = stop

    def tell_trainer(self, by: str) -> None:
        """Leave the request where the trainer looks. TERM says the same sooner; this reaches one that lost its TERM."""
        request = {"kind": "stop", "time": time.time(), "data": {"by": by}}
        write_json(self._files.file("control", "stop.json"), request, durable=False)


def write_request(files: RunFiles, grace: float, kill: bool) -> None:
    """Ask the living supervisor of a run to stop it."""
    write_json(files.stop_request, {"grace": grace, "kill": kill, "time": time.time()})
