"""Sends what is appended to a file, where the host's `tail` has no fractions of seconds (busybox): arguments are the
file, the offset of the first byte wanted, and the seconds after which it ends. It ends when stdin does.

It looks every 0.1 s, and reads on from where it is, never from the start. It runs by itself, given to Python as text,
and imports nothing of this package.
"""

from __future__ import annotations

import os
import select
import sys
import time

INTERVAL = 0.1
BLOCK = 1 << 20


def main() -> None:
    """Send until there is nobody to send to."""
    file = os.open(sys.argv[1], os.O_RDONLY)
    os.lseek(file, int(sys.argv[2]), os.SEEK_SET)
    end = time.monotonic() + float(sys.argv[3])
    while time.monotonic() < end:
        block = os.read(file, BLOCK)
        while block:
            block = block[os.write(1, block) :]
        ready = select.select([0], [], [], 0 if _more(file) else INTERVAL)[0]
        if ready and not os.read(0, BLOCK):
            return


def _more(file: int) -> bool:
    return os.fstat(file).st_size > os.lseek(file, 0, os.SEEK_CUR)


if __name__ == "__main__":
    main()
