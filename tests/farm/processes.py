"""Processes as /proc shows them: who descends from whom, who carries which variable; ended by pid, never by name."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """One process; `start` (ticks since boot) tells it from a later one with the same pid."""

    pid: int
    start: int

    def argv(self) -> list[str]:
        """Its command line; empty once it is gone or a zombie."""
        return _strings(self.pid, "cmdline")

    def environ(self) -> dict[str, str]:
        """Its environment when it was started; empty once it is gone, and for processes of other users."""
        return dict(entry.split("=", 1) for entry in _strings(self.pid, "environ") if "=" in entry)

    def alive(self) -> bool:
        """Whether it still runs; a zombie does not."""
        found = _stat(self.pid)
        return found is not None and found[0] != "Z" and int(found[19]) == self.start

    def end(self, number: int = signal.SIGKILL) -> None:
        """Signal exactly this process; a recycled pid is left alone."""
        try:
            handle = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        with contextlib.closing(_Handle(handle)), contextlib.suppress(ProcessLookupError):
            if self.alive():
                signal.pidfd_send_signal(handle, number)


class _Handle:
    """A file descriptor that `contextlib.closing` can close."""

    def __init__(self, number: int) -> None:
        self._number = number

    def close(self) -> None:
        os.close(self._number)


def process(pid: int) -> Process | None:
    """The process with this pid, unless it is gone."""
    found = _stat(pid)
    return None if found is None else Process(pid, int(found[19]))


def descendants(pid: int) -> list[Process]:
    """Children, their children and so on, as they are now; one that left for a new parent is not among them."""
    children: dict[int, list[Process]] = {}
    for number in _pids():
        if (found := _stat(number)) is not None:
            children.setdefault(int(found[1]), []).append(Process(number, int(found[19])))
    found_all: list[Process] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found_all += below
        waiting += [child.pid for child in below]
    return found_all


def carrying(variables: Mapping[str, str | None]) -> list[Process]:
    """Live processes whose environment has all these variables; a value of None stands for any."""
    wanted = {f"{name}=".encode() + (value or "").encode() for name, value in variables.items()}
    found = []
    for number in _pids():
        # A quick look at the raw bytes first: most processes of a machine carry none of these.
        raw = b"\0" + _read(number, "environ")
        if not all(b"\0" + entry in raw for entry in wanted) or (candidate := process(number)) is None:
            continue
        environ = candidate.environ()
        if candidate.alive() and all(
            name in environ and value in (None, environ[name]) for name, value in variables.items()
        ):
            found.append(candidate)
    return found


def end_all(processes: Iterable[Process], seconds: float = 10) -> None:
    """Kill these processes and wait until they are gone; TimeoutError names those that stay."""
    left = list(processes)
    for one in left:
        one.end()
    deadline = time.monotonic() + seconds
    while left := [one for one in left if one.alive()]:
        if time.monotonic() > deadline:
            raise TimeoutError(f"still alive {seconds:.0f} s after SIGKILL: {[(one.pid, one.argv()) for one in left]}")
        time.sleep(0.005)


def _pids() -> list[int]:
    return [int(entry) for entry in os.listdir(PROC) if entry.isdigit()]


def _read(pid: int, name: str) -> bytes:
    try:
        return (PROC / str(pid) / name).read_bytes()
    except (FileNotFoundError, PermissionError, ProcessLookupError):
        return b""


def _strings(pid: int, name: str) -> list[str]:
    return [part.decode(errors="surrogateescape") for part in _read(pid, name).split(b"\0") if part]


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third on: state, parent, ..., start time at index 19."""
    text = _read(pid, "stat").decode(errors="replace")
    return text.rpartition(")")[2].split() or None
