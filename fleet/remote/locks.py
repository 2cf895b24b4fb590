"""The supervisor's lock of a run: a kernel lock, so one that is held means a live supervisor whatever files say.

The kernel frees it when its holder dies, however it dies. Children do not keep it alive: the descriptor is closed on
exec. The content, in the form of `hydra.runs.LockHolder`, only serves to name the holder. The file is never removed:
who had just opened it would then hold a lock on a file that nobody else can see.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import time
from typing import Any

from fleet.remote.identity import Identity, identity_of, is_alive, machine_id

#: Seconds for which a lock held by nobody known is tried again: whoever looks takes it for a moment.
PATIENCE = 2.0
_PAUSE = 0.02


class Held(Exception):
    """Another process holds the lock; `holder` is its identity if it could be read."""

    def __init__(self, path: str, holder: Identity | None) -> None:
        super().__init__(f"{path} is held by {f'process {holder.pid}' if holder else 'another process'}")
        self.holder = holder


class SupervisorLock:
    """A lock that this process holds until `close` or its death; usable in a `with` block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: str, *, attempt: int, patience: float = PATIENCE) -> SupervisorLock:
        """Take the lock. Raises Held at once if a live process has it, OSError if the file cannot be opened."""
        descriptor = _opened(path)
        deadline = time.monotonic() + patience
        try:
            while not _try(descriptor, fcntl.LOCK_EX):
                holder = _read(descriptor)
                if (holder is not None and is_alive(holder)) or time.monotonic() >= deadline:
                    raise Held(path, holder)
                time.sleep(_PAUSE)
            # The lock holds without a name in it: on a full disk a dead run must still be told and cleared away.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, json.dumps(_this_process(attempt)).encode("ascii"), 0)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor)

    def close(self) -> None:
        """Free the lock. The holder's name is wiped first, so a name that is there belongs to one that holds it."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def __enter__(self) -> SupervisorLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_held(path: str) -> bool:
    """Whether a lock is held. A shared look, so that two who look do not see each other; absent files are free."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _try(descriptor, fcntl.LOCK_SH)
    finally:
        os.close(descriptor)


def holder_of(path: str) -> Identity | None:
    """Who holds a lock, as it wrote itself down; None while nobody does or it is not written yet."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        return None if _try(descriptor, fcntl.LOCK_SH) else _read(descriptor)
    finally:
        os.close(descriptor)


def _opened(path: str) -> int:
    """Open a lock's file, which a file system that has become read-only still lets everybody lock."""
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY)


def _try(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _this_process(attempt: int) -> dict[str, Any]:
    process = identity_of(os.getpid())
    assert process is not None, "this process runs, so it has an identity"
    return {
        "process": process._asdict(),
        "machine": machine_id(),
        "host": os.uname().nodename,
        "attempt": attempt,
        "since": time.time(),
    }


def _read(descriptor: int) -> Identity | None:
    try:
        holder = json.loads(os.pread(descriptor, 1 << 16, 0).decode("utf-8"))
        process = holder["process"]
        if holder["machine"] != machine_id():
            return None
        return Identity(str(process["boot_id"]), int(process["pid"]), int(process["start"]))
    except (ValueError, KeyError, TypeError):
        return None
