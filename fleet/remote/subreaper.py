"""Adoption of orphans: whatever a run's processes leave behind becomes a child of the supervisor, not of init.

`nohup` is not enough: launchers install their own handlers and give each worker a session of its own.
"""

from __future__ import annotations

import os

_PR_SET_CHILD_SUBREAPER = 36


def become_subreaper() -> str | None:
    """Adopt orphaned descendants from now on. Returns why not where this is impossible: then those that clear their
    environment can escape a sweep, which the supervisor notes in its log."""
    try:
        import ctypes
    except ImportError as error:
        return f"this Python has no ctypes ({error})"
    library = ctypes.CDLL(None, use_errno=True)
    words = [ctypes.c_ulong(value) for value in (1, 0, 0, 0)]
    if library.prctl(ctypes.c_int(_PR_SET_CHILD_SUBREAPER), *words) != 0:
        return f"prctl: {os.strerror(ctypes.get_errno())}"
    return None


def reap() -> dict[int, int]:
    """Collect every child that has ended: pid -> wait status. Children are only ever collected here."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status
