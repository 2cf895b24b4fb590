"""Sends ranges of files to stdout in one stream: arguments are a folder, then path, offset and length of each range.

Each range is preceded by a line `fleet-range <index> <bytes>` that says how much really follows: a file may have gone
away or become shorter since it was listed, and the reader must never take one file's bytes for another's. It runs by
itself, given to Python as text, and imports nothing of this package.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import sys
import threading

#: Seconds after which it ends in any case; a reader that wants more asks for the rest.
LIMIT = 3600
BLOCK = 1 << 20


def main() -> None:
    """Send everything; ends early when stdin closes, because then nobody reads."""
    signal.alarm(LIMIT)
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    os.chdir(os.path.expanduser(sys.argv[1]))
    ranges = sys.argv[2:]
    for index in range(0, len(ranges), 3):
        _send(index // 3, ranges[index], int(ranges[index + 1]), int(ranges[index + 2]))


def _send(index: int, path: str, offset: int, length: int) -> None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        _write(b"fleet-range %d 0\n" % index)
        return
    status = os.fstat(file)
    there = status.st_size - offset if stat.S_ISREG(status.st_mode) else 0
    left = max(0, min(length, there))
    _write(b"fleet-range %d %d\n" % (index, left))
    while left:
        count = _copy(file, offset, min(BLOCK, left))
        if not count:
            sys.exit(f"{path} became shorter while it was sent")
        offset += count
        left -= count
    os.close(file)


def _copy(file: int, offset: int, length: int) -> int:
    """Send a block, in the kernel where it can; returns its size, 0 at the end of the file."""
    try:
        return os.sendfile(1, file, offset, length)
    except OSError as error:
        # Some file systems and some kinds of stdout do not take part in that.
        if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
    block = os.pread(file, length, offset)
    _write(block)
    return len(block)


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def _end_with_stdin() -> None:
    while os.read(0, BLOCK):
        continue
    os._exit(0)


if __name__ == "__main__":
    main()
