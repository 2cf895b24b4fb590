"""Which process is meant. A pid is used again and a file may be old, so a process is `(boot id, pid, start)`.

The start is field 22 of `/proc/PID/stat`, clock ticks since boot. A signal is sent only if all three are those of the
process that is there now; otherwise nothing is sent, and what was found is said.
"""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple

from fleet.remote import pidfd

PROC = "/proc"
_MACHINE_ID = "/etc/machine-id"


class NotThatProcess(Exception):
    """The process that was meant is not there; the message says what was found in its place."""


class Identity(NamedTuple):
    """One process of one boot."""

    boot_id: str
    pid: int
    start: int


def boot_id() -> str:
    """The id that the kernel draws at each boot."""
    with open(f"{PROC}/sys/kernel/random/boot_id", encoding="ascii") as file:
        return file.read().strip()


def machine_id() -> str:
    """16 hex digits naming this machine, by the same rule as `hydra.runs.machine_id`."""
    system = ""
    if os.path.isfile(_MACHINE_ID):
        with open(_MACHINE_ID, encoding="utf-8") as file:
            system = file.read().strip()
    return hashlib.sha256(f"{system}\n{os.uname().nodename}".encode()).hexdigest()[:16]


def stat_fields(pid: int) -> list[bytes] | None:
    """The fields of `/proc/PID/stat` from the third on, or None if there is no such process.

    The second field is the command in parentheses and may itself hold blanks and parentheses, so fields are counted
    from the last closing one: state is number 0, parent 1, start 19, resident pages 21, exit status 49.
    """
    try:
        with open(f"{PROC}/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def start_of(pid: int) -> int | None:
    """Start of a running process; None if it has ended (a zombie has)."""
    fields = stat_fields(pid)
    return None if fields is None or fields[0] in (b"Z", b"X") else int(fields[19])


def identity_of(pid: int) -> Identity | None:
    """The identity of a running process, or None."""
    start = start_of(pid)
    return None if start is None else Identity(boot_id(), pid, start)


def is_alive(identity: Identity) -> bool:
    """Whether exactly this process still runs."""
    return identity.pid > 0 and identity_of(identity.pid) == identity


def send_signal(identity: Identity, number: int) -> None:
    """Send a signal to exactly this process. Raises NotThatProcess, with nothing sent, and PermissionError.

    The handle is opened before the comparison, so between comparison and signal the process can end but not become
    another one. Without handles (Linux before 5.3) those few microseconds remain.
    """
    if identity.pid <= 1:
        raise NotThatProcess(f"pid {identity.pid} is no process of a run")
    try:
        with pidfd.opened(identity.pid) as handle:
            _compare(identity)
            if handle is None:
                os.kill(identity.pid, number)
            else:
                pidfd.send(handle, number)
    except ProcessLookupError:
        raise NotThatProcess(f"process {identity.pid} has ended") from None
    except OverflowError:
        raise NotThatProcess(f"{identity.pid} is no pid") from None


def _compare(identity: Identity) -> None:
    found = identity_of(identity.pid)
    if found is None:
        raise NotThatProcess(f"process {identity.pid} has ended")
    if found.boot_id != identity.boot_id:
        raise NotThatProcess(f"process {identity.pid} belonged to an earlier boot ({identity.boot_id})")
    if found.start != identity.start:
        raise NotThatProcess(f"pid {identity.pid} is another process now: start {found.start}, not {identity.start}")
