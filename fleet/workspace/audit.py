"""The audit trail: one line for every action that changed something, here and on the host."""

from __future__ import annotations

import fcntl
import json
import os
import pwd
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from fleet.redaction import Redactor
from fleet.workspace.files import FILE_MODE, refusals


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """Who did what to which hosts, and how it ended; the same line goes into the host's audit.jsonl."""

    time: float
    """Unix seconds, when the action ended."""
    user: str
    """Login name on the controller."""
    action: str
    """The command: `deploy`, `train`, ..."""
    argv: tuple[str, ...]
    """The command line without its secrets (`Redactor.argv`)."""
    targets: tuple[str, ...]
    plan_digest: str
    """SHA-256 of the plan that was carried out; empty for actions without one."""
    result: str
    """How it ended, in words."""

    @classmethod
    def of(
        cls,
        action: str,
        *,
        argv: Sequence[str],
        targets: Sequence[str],
        result: str,
        redactor: Redactor,
        plan_digest: str = "",
    ) -> Self:
        """The record of an action of this user that ends now, with `argv` and `result` redacted."""
        shown = redactor.argv(argv)
        return cls(time.time(), _user(), action, shown, tuple(targets), plan_digest, redactor.text(result))

    def line(self) -> bytes:
        """The record as one line of JSON, with its newline."""
        return json.dumps(asdict(self), ensure_ascii=True).encode("ascii") + b"\n"


def append(path: Path, record: AuditRecord) -> None:
    """Add a record to a trail, on the disk when this returns; a line torn by a crash does not swallow it.

    One write on a descriptor opened for appending: several processes never mix their lines. The lock is for the look
    at the last byte, which may be in the middle of another process's line. Raises Usage.
    """
    with refusals(path, "add to"):
        descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            size = os.fstat(descriptor).st_size
            torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"
            line = b"\n" * torn + record.line()
            written = os.write(descriptor, line)
            if written < len(line):
                raise OSError(f"only {written} of {len(line)} bytes were taken")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _user() -> str:
    """The login name by the user id: what the environment says can be set by anybody."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
