"""Files that are on the disk when the call returns, hashed in the same pass. Standard library only.

`hydra.runs.atomic` does this for small files; here the data are gigabytes that are hashed while they are written, and
the process that does it carries no third-party package.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

#: Bytes hashed and written at a time; between two pieces the caller may look around.
PIECE = 8 << 20


@dataclass(frozen=True, slots=True)
class Digest:
    """What is known of a file's content."""

    size: int
    sha256: str

    @classmethod
    def of(cls, content: bytes) -> Digest:
        """The digest of bytes in memory."""
        return cls(len(content), hashlib.sha256(content).hexdigest())


def pieces(data: memoryview) -> Iterator[memoryview]:
    """The data in pieces, without a copy."""
    return (data[start : start + PIECE] for start in range(0, len(data), PIECE))


def write(path: Path, data: Iterable[bytes | memoryview], between: Callable[[], None]) -> Digest:
    """Create a file, which must not exist, and fsync it; `between` is called before each piece. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
    try:
        for piece in data:
            between()
            digest.update(piece)
            size += len(piece)
            rest = memoryview(piece)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return Digest(size, digest.hexdigest())


def open_regular(path: Path) -> FileIO:
    """Open a file for reading, unbuffered. A link, pipe or device in its place is an OSError and is not followed."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return FileIO(descriptor, "rb")


def digest_of(path: Path, *, from_disk: bool = False) -> Digest:
    """Read a file and hash it; `from_disk` asks the system to forget its own copy first. Raises OSError."""
    with open_regular(path) as file:
        if from_disk and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Digest(os.fstat(file.fileno()).st_size, sha256)


def sync_directory(path: Path) -> None:
    """Make new names and renames in a directory survive a power loss, where its file system knows how."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def replace_line(path: Path, line: str) -> None:
    """Replace a file of one line atomically. A kill leaves the old line, and at worst a file `.<name>.tmp`."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.unlink(missing_ok=True)
    write(temporary, [f"{line}\n".encode()], lambda: None)
    os.replace(temporary, path)
    sync_directory(path.parent)
