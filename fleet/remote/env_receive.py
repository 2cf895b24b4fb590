"""Receive one file on stdin, for example a wheel: `python -I -c TEXT PATH SHA256 BYTES MODE`, sent as text.

It becomes visible only whole: a cut connection looks like an end of file, so size and digest decide. Nothing that is
there already is replaced, because its name stands for its content.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sys
import tempfile
import time

_PREFIX = ".receiving-"


def main() -> None:
    """Write stdin to the path if it is what was announced."""
    path, digest, size, mode = sys.argv[1:5]
    folder = os.path.dirname(path)
    os.makedirs(folder, 0o700, exist_ok=True)
    remove_abandoned(folder)
    descriptor, temporary = tempfile.mkstemp(prefix=_PREFIX, dir=folder)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        found, count = hashlib.sha256(), 0
        with os.fdopen(descriptor, "wb") as target:
            for piece in iter(lambda: sys.stdin.buffer.read(1 << 20), b""):
                found.update(piece)
                count += target.write(piece)
            target.flush()
            os.fsync(target.fileno())
        if found.hexdigest() != digest:
            sys.exit(f"{count} of {size} bytes arrived, with another digest")
        os.chmod(temporary, int(mode, 8))
        os.rename(temporary, path)
    except OSError as error:
        sys.exit(f"{error.filename or path}: {error.strerror}")
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def remove_abandoned(folder: str) -> None:
    """Remove what receivers that were killed have left; a living one holds a lock on its file."""
    for name in os.listdir(folder):
        path = os.path.join(folder, name)
        # A file may be a moment older than the lock on it.
        if name.startswith(_PREFIX) and time.time() - os.stat(path).st_mtime > 60:
            with open(path, "rb") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    continue
                os.unlink(path)


if __name__ == "__main__":
    main()
