"""Boots and process starts as Linux tells them, from `/proc`."""

from __future__ import annotations

from pathlib import Path

_PROC = Path("/proc")


def boot_id() -> str | None:
    """The id that the kernel draws at each boot."""
    return (_PROC / "sys/kernel/random/boot_id").read_text("ascii").strip()


def start_of(pid: int, proc: Path = _PROC) -> int | None:
    """Field 22 of `/proc/PID/stat`, clock ticks since boot; None if the process has ended (a zombie has).

    The second field is the command in parentheses and may itself hold blanks and parentheses, so fields are counted
    from the last closing one.
    """
    try:
        stat = (proc / str(pid) / "stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = stat.rpartition(b")")[2].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])
