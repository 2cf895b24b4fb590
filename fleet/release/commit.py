"""The files of a commit, read from git's object store without touching the work tree."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from fleet.release import ignore
from fleet.release.entry import CONTROL, Entry, shown
from fleet.release.git import ask, git_argv, words
from fleet.release.hashing import value_of
from fleet.release.refusals import bad_ref, changed, git_failed
from fleet.release.sources import Read, Row, link
from fleet.release.statcache import StatCache

_BLOCK = 1 << 20
_STAMP = b"blob"
#: Mode in octal digits, name of the blob, bytes.
_Blob = tuple[bytes, bytes, int]


class Commit:
    """One commit, as far as it lies below a folder of its repository."""

    def __init__(self, root: Path, ref: str) -> None:
        """Raises Usage if git knows no such commit."""
        self._root = root
        asked = ask(root, "rev-parse", "--verify", "--quiet", "--end-of-options", ref + "^{commit}")
        if asked.returncode != 0:
            raise bad_ref(ref, words(asked) or "git knows nothing of that name")
        self.name = asked.stdout.strip().decode()

    def rows(self, cache: StatCache) -> tuple[list[Row], list[str]]:
        """What is to be sent, in no order, and warnings. Raises Usage if git fails."""
        done = ask(self._root, "ls-tree", "-r", "-z", "-l", self.name)
        if done.returncode != 0:
            raise git_failed(self._root, words(done))
        rows: dict[bytes, _Blob] = {}
        warnings = []
        for line in done.stdout.split(b"\0")[:-1]:
            head, path = line.split(b"\t", 1)
            mode, kind, blob, size = head.split()
            if kind != b"blob":
                warnings.append(f"submodule {shown(path)} is not part of --ref: nothing of it is sent")
            elif not path.startswith(CONTROL + b"/"):
                rows[path] = (mode, blob, int(size))
        for path in self._ignored(rows):
            del rows[path]
        return self._look_up(rows, cache), warnings

    def _ignored(self, rows: dict[bytes, _Blob]) -> set[bytes]:
        """What the commit's own .fleetignore files exclude: they are laid out in a folder for git to find."""
        rules = [path for path in rows if ignore.is_rules(path)]
        if not rules:
            return set()
        with TemporaryDirectory(prefix="fleet-rules-") as scratch, _Blobs(self._root) as blobs:
            for path in rules:
                place = Path(scratch) / os.fsdecode(path)
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_bytes(b"".join(blobs.read(rows[path][1])))
            return ignore.ignored(rows.keys(), Path(scratch))

    def _look_up(self, rows: dict[bytes, _Blob], cache: StatCache) -> list[Row]:
        found: list[Row] = []
        with _Blobs(self._root) as blobs:
            for path, (mode, blob, size) in rows.items():
                if mode == b"120000":
                    found.append((link(path, b"".join(blobs.read(blob))), b""))
                    continue
                value = cache.get(blob, _STAMP) or value_of(blobs.read(blob))
                cache.put(blob, _STAMP, value)
                octal = 0o755 if mode == b"100755" else 0o644
                found.append((Entry(path, "f", octal, size, value[:64].decode(), blob), value))
        return found

    @contextmanager
    def reading(self) -> Iterator[Read]:
        """A function that gives the content of an entry, piece by piece, from one git process."""
        with _Blobs(self._root) as blobs:
            yield lambda entry: blobs.read(entry.stamp)


class _Blobs:
    """`git cat-file --batch`, started when the first blob is read."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> _Blobs:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()

    def read(self, blob: bytes) -> Iterator[bytes]:
        """The content of a blob in pieces. It must be read to the end before the next one is asked for."""
        ask_git, answers = self._pipes()
        ask_git.write(blob + b"\n")
        ask_git.flush()
        head = answers.readline().split()
        if len(head) != 3:
            raise changed(blob)
        left = int(head[2])
        while left:
            piece = answers.read(min(left, _BLOCK))
            if not piece:
                raise changed(blob)
            left -= len(piece)
            yield piece
        answers.read(1)

    def _pipes(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._process is None:
            pipe = subprocess.PIPE
            argv = git_argv("cat-file", "--batch")
            self._process = subprocess.Popen(argv, cwd=self._root, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        return self._process.stdin, self._process.stdout
