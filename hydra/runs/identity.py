"""Which process is meant: a pid alone is not enough, because pids are used again.

On Linux a process is `(boot id, pid, start time)`, the start time being field 22 of `/proc/PID/stat`: clock ticks since
boot, which only mean something together with the boot. Elsewhere the start time is psutil's creation time in
milliseconds since 1970; that is absolute and differs from boot to boot by itself, so the boot id is absent (null) there
and two absent ones compare equal. Identities are only compared on the machine that made them.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sys
from pathlib import Path

from hydra.runs.record import Record

if sys.platform == "linux":
    from hydra.runs.proc import boot_id, start_of
else:
    from hydra.runs.portable import boot_id, start_of

__all__ = ["ProcessIdentity", "boot_id", "is_alive", "machine_id", "process_identity"]

_MACHINE_ID = Path("/etc/machine-id")


class ProcessIdentity(Record):
    """One process of one boot of one machine."""

    boot_id: str | None
    """The kernel's id of this boot; null outside Linux."""
    pid: int
    start: int
    """Start of the process: clock ticks since boot (Linux), milliseconds since 1970 elsewhere."""


def machine_id() -> str:
    """16 hex digits naming this machine: a hash of its machine id and host name, since cloned images share the former.

    Containers and macOS may have no machine id; there the host name alone counts.
    """
    system = _MACHINE_ID.read_text("utf-8").strip() if _MACHINE_ID.is_file() else ""
    return hashlib.sha256(f"{system}\n{socket.gethostname()}".encode()).hexdigest()[:16]


def process_identity(pid: int | None = None) -> ProcessIdentity | None:
    """The identity of a process, by default this one; None if no such process runs (a zombie does not run)."""
    number = os.getpid() if pid is None else pid
    start = start_of(number)
    return None if start is None else ProcessIdentity(boot_id=boot_id(), pid=number, start=start)


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether exactly this process still runs: same boot, same pid, same start. A zombie has ended."""
    return process_identity(identity.pid) == identity
