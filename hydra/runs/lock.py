"""The lock of a run: one live trainer per run directory, and a dead one never in the way.

It is a kernel lock (`flock`) on the file `lock`. The kernel frees it when its holder dies, however it dies, so a lock
that is held means a live trainer whatever any file says. The file's content, the holder's identity, only serves to name
it in messages; nothing is decided by it. The file is never removed: a process that had just opened it would then hold a
lock on a file that nobody else can see.

Children do not keep the lock alive: Python closes the descriptor on exec, and a hook closes it in a fork, because a
worker process that outlives its killed trainer would otherwise block the resume.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
import weakref
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from pydantic import ValidationError

from hydra.errors import RunLocked
from hydra.runs.closing import Closing
from hydra.runs.encoding import encode
from hydra.runs.failures import write_failed
from hydra.runs.identity import ProcessIdentity, is_alive, machine_id, process_identity
from hydra.runs.record import Record

#: Seconds for which a lock held by nobody known is tried again: `lock_status` takes it for a moment to look.
PATIENCE = 2.0
_PAUSE = 0.02


class LockHolder(Record):
    """Who holds a lock, as it wrote itself down."""

    process: ProcessIdentity
    machine: str
    """`hydra.runs.machine_id` of the holder."""
    host: str
    attempt: int
    since: float
    """Unix seconds."""


@dataclass(frozen=True, slots=True)
class LockStatus:
    """Whether a lock is held, and by whom if the holder could be read."""

    held: bool
    holder: LockHolder | None


class RunLock(Closing):
    """A lock that this process holds, until `close` or its death."""

    def __init__(self, path: Path, descriptor: int, holder: LockHolder) -> None:
        self.path, self.holder = path, holder
        self._descriptor: int | None = descriptor
        _HELD.add(self)

    @classmethod
    def acquire(cls, path: Path, *, attempt: int, patience: float = PATIENCE) -> Self:
        """Take the lock at once. Raises RunLocked, naming the holder, if another process lives in the run."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise write_failed(path, error) from error
        try:
            _take(descriptor, path, time.monotonic() + patience)
            holder = _this_process(attempt)
            _write(descriptor, path, encode(holder.to_json()))
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor, holder)

    def close(self) -> None:
        """Free the lock. The holder's name is wiped first, so a name that is there belongs to one that holds it."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        try:
            os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def forget(self) -> None:
        """Close the descriptor without freeing the lock: what a forked child does with its parent's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def lock_status(path: Path) -> LockStatus:
    """Look at a lock without keeping it. A lock file that does not exist is free."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return LockStatus(held=False, holder=None)
    try:
        # Shared, so that two who look do not see each other; closing the descriptor lets go of it.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return LockStatus(held=False, holder=None)
    except BlockingIOError:
        return LockStatus(held=True, holder=_read(descriptor))
    finally:
        os.close(descriptor)


def _take(descriptor: int, path: Path, deadline: float) -> None:
    while True:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        holder = _read(descriptor)
        if (holder is not None and _lives_here(holder)) or time.monotonic() >= deadline:
            raise _locked(path, holder)
        time.sleep(_PAUSE)


def _lives_here(holder: LockHolder) -> bool:
    return holder.machine == machine_id() and is_alive(holder.process)


def _this_process(attempt: int) -> LockHolder:
    process = process_identity()
    assert process is not None, "this process runs, so it has an identity"
    host = socket.gethostname()
    return LockHolder(process=process, machine=machine_id(), host=host, attempt=attempt, since=time.time())


def _write(descriptor: int, path: Path, text: bytes) -> None:
    try:
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text, 0)
    except OSError as error:
        raise write_failed(path, error) from error


def _read(descriptor: int) -> LockHolder | None:
    """The holder, or None while it is being written: the lock is taken before its content can be."""
    try:
        return LockHolder.model_validate_json(os.pread(descriptor, 1 << 16, 0))
    except ValidationError:
        return None


def _locked(path: Path, holder: LockHolder | None) -> RunLocked:
    if holder is None:
        who, fix = "another process", "wait for it to end, or find it"
        example = f"lsof {path}"
    else:
        since = datetime.fromtimestamp(holder.since, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        who = f"process {holder.process.pid} on {holder.host} since {since}"
        fix, example = "wait for that trainer to end, or stop it (it saves first)", f"kill -TERM {holder.process.pid}"
    return RunLocked(
        f"run {path.parent.name} is held by {who}",
        why="two trainers on one run directory would overwrite each other's checkpoints and mix their metrics",
        fix=fix,
        example=example,
    )


_HELD: weakref.WeakSet[RunLock] = weakref.WeakSet()


def _forget_in_child() -> None:
    for lock in list(_HELD):
        lock.forget()


os.register_at_fork(after_in_child=_forget_in_child)
