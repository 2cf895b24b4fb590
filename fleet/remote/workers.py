"""The ranks that a launcher started on this host: who they are, and which of them failed first, with what.

torchrun turns every failure into status 1, waits 30 s for the other ranks, and starts each in a session of its own. So
the supervisor looks at the ranks itself: a handle wakes it when one ends, and until the launcher collects it the kernel
still shows its status.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

from fleet.remote import pidfd
from fleet.remote.evidence import Failure
from fleet.remote.identity import PROC, Identity, NotThatProcess, boot_id, send_signal, stat_fields
from fleet.remote.processes import environment

#: Seconds between searches for ranks that are not known yet: one that fails before it is found fails unseen.
_SEARCH_EVERY = 0.1
_ZOMBIE = (b"Z", b"X")


class Workers:
    """The ranks below one launcher."""

    def __init__(self, launcher: int, count: int) -> None:
        self._launcher, self._count = launcher, count
        self._boot = boot_id()
        self._alive: dict[Identity, int] = {}
        self._seen: set[Identity] = set()
        self._told: set[Identity] = set()
        self._next_search = 0.0
        self._found: list[int] = []
        """Handles of ranks that nobody waits for yet."""
        self.failures: list[Failure] = []
        """Ranks that ended with a status other than 0, in the order in which it was noticed."""
        self.failed_at: float | None = None
        """Monotonic time at which the first failure was noticed."""
        self._well = 0
        """Ranks whose status 0 was seen."""
        self.well_at: float | None = None
        """Monotonic time at which the last rank was seen to end, all with status 0; None if one ended unseen."""

    def look(self) -> list[int]:
        """Search for ranks that are missing and note those that ended. Returns handles of new ones, to be waited for;
        the caller closes them."""
        for identity, rank in list(self._alive.items()):
            fields = stat_fields(identity.pid)
            if fields is None or fields[0] in _ZOMBIE or int(fields[19]) != identity.start:
                del self._alive[identity]
                self._note(rank, identity, fields)
        if time.monotonic() >= self._next_search:
            self._search()
        handles, self._found = self._found, []
        return handles

    def terminate(self) -> bool:
        """Send TERM to each rank once; returns whether any rank is known."""
        # A stop may come before the next search, and TERM to the launcher instead would end its ranks without a save.
        self._search()
        for identity in self._alive:
            if identity not in self._told:
                self._told.add(identity)
                with contextlib.suppress(NotThatProcess):
                    send_signal(identity, signal.SIGTERM)
        return bool(self._seen)

    def kill(self) -> None:
        """Kill the ranks that are left, so that the launcher ends at once."""
        for identity in self._alive:
            with contextlib.suppress(NotThatProcess):
                send_signal(identity, signal.SIGKILL)

    def _search(self) -> None:
        """Look for ranks that are not known yet."""
        if len(self._seen) >= self._count:
            return
        self._next_search = time.monotonic() + _SEARCH_EVERY
        for pid in _children(self._launcher):
            fields = stat_fields(pid)
            rank = environment(pid).get("RANK", "")
            if fields is None or fields[0] in _ZOMBIE or int(fields[1]) != self._launcher or not rank.isdigit():
                continue
            identity = Identity(self._boot, pid, int(fields[19]))
            if identity in self._seen:
                continue
            self._seen.add(identity)
            self._alive[identity] = int(rank)
            with contextlib.suppress(ProcessLookupError):
                handle = pidfd.open_pidfd(pid)
                self._found += [] if handle is None else [handle]

    def _note(self, rank: int, identity: Identity, fields: list[bytes] | None) -> None:
        """Note how a rank ended, if its status can still be seen; else the launcher's own report must do."""
        if fields is None or fields[0] not in _ZOMBIE or int(fields[19]) != identity.start:
            return
        status = int(fields[49])
        if status == 0:
            self._well += 1
            self.well_at = time.monotonic() if self._well == self._count else None
            return
        code = None if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else None
        self.failures.append(Failure(rank, time.time_ns(), code=code, signal=number))
        self.failed_at = self.failed_at or time.monotonic()


def _children(pid: int) -> list[int]:
    """Children of a process, as each of its threads has them."""
    found: list[int] = []
    try:
        threads = os.listdir(f"{PROC}/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return found
    for thread in threads:
        try:
            with open(f"{PROC}/{pid}/task/{thread}/children", encoding="ascii") as file:
                found += [int(word) for word in file.read().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found
