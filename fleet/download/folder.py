"""The folder that a download fills: files appear there under their names only whole, and nothing leads out of it.

Every directory on the way to a file is opened by descriptor without following links, so a link that somebody planted in
the folder cannot send a write elsewhere. A file in progress is `<name>.<16 digits of its digest>.part`: an interrupted
download goes on with it only if the host's file is still the same.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from fleet.download.listing import RemoteFile
from fleet.errors import Busy, Unverified

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: What opening says of a name that is not there, or is a link where a file or folder was meant.
_ABSENT: Final = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})
_PART = re.compile(r"(?P<name>.+)\.[0-9a-f]{16}\.part")
_BLOCK: Final = 1 << 20


class Folder:
    """A target folder, made if it is not there. All methods raise OSError for what the file system refuses."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path

    def free(self) -> int:
        """Bytes that the file system still takes from this user."""
        status = os.statvfs(self.path)
        return status.f_bavail * status.f_frsize

    def other_run(self, run: str) -> str | None:
        """The run whose files are here already if that is not `run`. Two in one folder would be neither."""
        for name in ("run.json", "state.json"):
            try:
                value = json.loads((self.path / name).read_bytes())
            except (FileNotFoundError, ValueError):
                continue
            here = value.get("run") if isinstance(value, dict) else None
            if isinstance(here, str) and here != run:
                return here
        return None

    def holds(self, file: RemoteFile) -> bool:
        """Whether the file is in place with the listed size and digest; reads all of it if the size fits."""
        try:
            with self._directory(file.path, make=False) as (directory, name):
                descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=directory)
        except OSError as error:
            if error.errno in _ABSENT:
                return False
            raise
        try:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode) or status.st_size != file.size:
                return False
            with os.fdopen(descriptor, "rb", closefd=False) as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256
        finally:
            os.close(descriptor)

    def part(self, file: RemoteFile, offset: int) -> Part:
        """The file in progress, of which `left` told that `offset` bytes are there. Raises Busy if another one writes
        it now."""
        with self._directory(file.path, make=True) as (directory, name):
            descriptor = os.open(
                _part_name(name, file), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666, dir_fd=directory
            )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_size != offset:
                raise BlockingIOError(errno.EAGAIN, "it has grown")
        except BlockingIOError:
            os.close(descriptor)
            raise Busy(
                f"another download writes {self.path / file.path} now",
                why="two writers of one file would damage it",
                fix="wait for the other one, or choose another folder",
                example="fleet download lab-a --run RUN --to elsewhere",
            ) from None
        return Part(self, file, descriptor, offset)

    def left(self, file: RemoteFile) -> int:
        """Bytes that an earlier download left of this very file. More than it has are none of it, and are dropped."""
        try:
            with self._directory(file.path, make=False) as (directory, name):
                size = os.stat(_part_name(name, file), dir_fd=directory, follow_symlinks=False).st_size
        except OSError as error:
            if error.errno in _ABSENT:
                return 0
            raise
        if size > file.size:
            self.drop(file)
            return 0
        return size

    def put(self, file: RemoteFile) -> None:
        """Move a part that is complete and synced to its final name, with the time that the host lists."""
        with self._directory(file.path, make=False) as (directory, name):
            part = _part_name(name, file)
            os.utime(part, (file.mtime, file.mtime), dir_fd=directory, follow_symlinks=False)
            os.rename(part, name, src_dir_fd=directory, dst_dir_fd=directory)

    def drop(self, file: RemoteFile) -> None:
        """Remove what there is of a file in progress."""
        with self._directory(file.path, make=False) as (directory, name), contextlib.suppress(FileNotFoundError):
            os.unlink(_part_name(name, file), dir_fd=directory)

    def drop_outdated(self, files: list[RemoteFile]) -> None:
        """Remove parts of earlier versions of these files: no download will ever finish them."""
        wanted: dict[str, set[str]] = {}
        for file in files:
            parent, _, name = file.path.rpartition("/")
            wanted.setdefault(parent, set()).update((name, _part_name(name, file)))
        for parent, names in wanted.items():
            with self._directory(f"{parent}/x" if parent else "x", make=False) as (directory, _):
                for name in os.listdir(directory):
                    match = _PART.fullmatch(name)
                    if match and match["name"] in names and name not in names:
                        os.unlink(name, dir_fd=directory)

    def sync(self, files: list[RemoteFile]) -> None:
        """Make the names of these files survive a power loss."""
        parents = {parent for file in files for parent in _parents(file.path)}
        for parent in sorted(parents, reverse=True):
            with self._directory(f"{parent}/x" if parent else "x", make=False) as (directory, _):
                os.fsync(directory)

    @contextlib.contextmanager
    def _directory(self, path: str, *, make: bool) -> Iterator[tuple[int, str]]:
        """The open directory of a file, and its name there."""
        *parents, name = path.split("/")
        directory = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for parent in parents:
                if make:
                    with contextlib.suppress(FileExistsError):
                        os.mkdir(parent, dir_fd=directory)
                deeper = os.open(parent, _DIRECTORY, dir_fd=directory)
                os.close(directory)
                directory = deeper
            yield directory, name
        finally:
            os.close(directory)


class Part:
    """A file in progress. One thread at a time writes it; `size` is what is written so far."""

    def __init__(self, folder: Folder, file: RemoteFile, descriptor: int, size: int) -> None:
        self.file, self.size = file, size
        self._folder, self._descriptor = folder, descriptor
        self._digest: hashlib._Hash | None = None

    def append(self, pieces: Sequence[bytes | memoryview]) -> None:
        """Write pieces at the end and take them into the digest.

        They are joined first: each call that lets other threads run has to wait for its turn again, and pieces are as
        small as packets. The copy takes a tenth of what hashing takes.
        """
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        self._measured().update(data)
        view = memoryview(data)
        while view:
            count = os.pwrite(self._descriptor, view, self.size)
            self.size += count
            view = view[count:]

    def finish(self) -> None:
        """Check size and digest, sync, and give the file its name. Raises Unverified, and then the part is gone."""
        found = self._measured().hexdigest()
        if self.size != self.file.size or found != self.file.sha256:
            self._folder.drop(self.file)
            raise Unverified(
                f"{self.file.path} did not verify: {self.size:,} bytes with SHA-256 {found[:16]}..., "
                f"listed were {self.file.size:,} with {self.file.sha256[:16]}...",
                why="the bytes that arrived are not the ones that the host listed: damaged there, or changed meanwhile",
                fix="run it again; for a checkpoint that stays damaged, choose another step",
                example="fleet download lab-a --run RUN --checkpoint best",
            )
        os.fsync(self._descriptor)
        self._folder.put(self.file)

    def close(self) -> None:
        """Let go of the file; what was written stays for the next download."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _measured(self) -> hashlib._Hash:
        """The digest of what is written, reading what an earlier download left."""
        if self._digest is None:
            self._digest = hashlib.sha256()
            offset = 0
            while offset < self.size and (block := os.pread(self._descriptor, _BLOCK, offset)):
                self._digest.update(block)
                offset += len(block)
        return self._digest


def _part_name(name: str, file: RemoteFile) -> str:
    return f"{name}.{file.sha256[:16]}.part"


def _parents(path: str) -> set[str]:
    """Every folder on the way to a file, the target itself as the empty string."""
    parts = path.split("/")[:-1]
    return {"/".join(parts[:count]) for count in range(len(parts) + 1)}
