"""Handles of processes: a signal sent through one reaches that process or nobody, however fast pids are used again.

Python has them since 3.9 and Linux since 5.3; between the two the system calls are made by number, which is the same on
every architecture.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from typing import Any, Iterator

_PIDFD_SEND_SIGNAL = 424
_PIDFD_OPEN = 434
#: What kernels and sandboxes without these calls answer. Opening needs no permission, so EPERM is a sandbox's.
_ABSENT = (errno.ENOSYS, errno.EPERM, errno.EINVAL)


@contextlib.contextmanager
def opened(pid: int) -> Iterator[int | None]:
    """A handle of a process, or None where there are none. Raises ProcessLookupError if no such process exists."""
    handle = open_pidfd(pid)
    try:
        yield handle
    finally:
        if handle is not None:
            os.close(handle)


def open_pidfd(pid: int) -> int | None:
    """The same for a caller that closes it; it becomes readable when the process ends."""
    try:
        native: Any = getattr(os, "pidfd_open", None)
        return int(native(pid, 0)) if native is not None else _call(_PIDFD_OPEN, pid, 0)
    except OSError as error:
        if error.errno in _ABSENT:
            return None
        raise


def send(handle: int, number: int) -> None:
    """Send a signal through a handle. Raises ProcessLookupError if the process has ended, PermissionError."""
    native: Any = getattr(signal, "pidfd_send_signal", None)
    if native is not None:
        native(handle, number)
    else:
        _call(_PIDFD_SEND_SIGNAL, handle, number, None, 0)


def _call(number: int, *arguments: int | None) -> int:
    # Here, because only an old Python gets this far, and some of those were built without it.
    try:
        import ctypes
    except ImportError as error:
        raise OSError(errno.ENOSYS, "this Python has no ctypes") from error
    # As full words: a variadic call would pass the upper half of a register as whatever it held.
    words = [ctypes.c_void_p() if value is None else ctypes.c_long(value) for value in arguments]
    library = ctypes.CDLL(None, use_errno=True)
    result = int(library.syscall(ctypes.c_long(number), *words))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result
