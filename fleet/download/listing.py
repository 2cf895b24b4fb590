"""What a host says its run consists of, read with suspicion: names and numbers come from a machine that may be hostile.

A name becomes a path here only if it is relative, has no `..`, no control or direction characters and a length that
file systems take; two names may not mean one file.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet.errors import RemoteFailed, Unverified, Usage

#: The agent on the host: a command and its request in, the answer out.
Ask = Callable[[str, dict[str, Any]], dict[str, Any]]

#: Bytes of the longest file name: 255 on every common file system, less what the name of a `.part` file adds.
NAME_LIMIT: Final = 255 - len(".0123456789abcdef.part")
PATH_LIMIT: Final = 1024
FILES_LIMIT: Final = 1_000_000
_CHECKPOINT = re.compile(r"latest|best|all|none|[0-9]{1,18}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_HOSTILE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\\\\]")


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file as the host lists it; `path` is relative to the run, with forward slashes, and safe to use here."""

    path: str
    size: int
    """Bytes."""
    mtime: float
    """Unix seconds, on the host's clock."""
    sha256: str
    content: bytes | None = None
    """The bytes themselves, for small files that change while a run lives."""

    @property
    def final(self) -> bool:
        """Whether its presence says that other files are there: it is put in place after all of those."""
        return self.content is not None or self.path.rpartition("/")[2] == "COMPLETE.json"


@dataclass(frozen=True, slots=True)
class Skipped:
    """What the host left out, and why. The path is for reading only."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Listing:
    """A run's files at one moment."""

    run: str
    root: str
    """Absolute path of the run directory on the host."""
    steps: tuple[int, ...]
    """Steps of the checkpoints among the files."""
    files: tuple[RemoteFile, ...]
    skipped: tuple[Skipped, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def list_run(
    ask: Ask, deploy_dir: str, run: str, *, include: Sequence[str], exclude: Sequence[str], checkpoint: str
) -> Listing:
    """Ask the host for a run's files. `checkpoint` is `latest`, `best`, a step, `all` or `none`; globs select files.

    Raises Usage for any other `checkpoint` and for a malformed glob, NotFound, naming what there is, for a run or
    checkpoint that is not there and for globs that leave nothing or that no file fits,
    Unverified for a checkpoint whose files contradict its COMPLETE.json and for names that cannot be trusted,
    RemoteFailed for a malformed answer.
    """
    if not _CHECKPOINT.fullmatch(checkpoint):
        raise Usage(
            f"there is no checkpoint {checkpoint!r} to choose",
            why="a checkpoint is named by its step, or by what it is among the others",
            fix="give latest, best, all, none or a step",
            example="fleet download lab-a --checkpoint 1200",
        )
    for glob in (*include, *exclude):
        if not is_glob(glob):
            raise Usage(
                f"{glob!r} is no pattern for files",
                why="it is empty, or has a [ without its ]",
                fix="close the bracket; a bracket that is meant itself is written [[]",
                example="fleet download lab-a --include 'metrics.*' --include 'log/*'",
            )
    request = {
        "deploy_dir": deploy_dir,
        "run": run,
        "include": list(include),
        "exclude": list(exclude),
        "checkpoint": checkpoint,
    }
    answer = ask("listing", request)
    try:
        files = tuple(_file(entry) for entry in answer["files"])
        skipped = tuple(Skipped(str(entry["path"]), str(entry["why"])) for entry in answer["skipped"])
        steps = tuple(int(step) for step in answer["steps"])
        root = str(answer["root"])
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise _malformed(run, repr(error)) from error
    if len(files) > FILES_LIMIT:
        raise _malformed(run, f"it lists {len(files):,} files")
    if not root.startswith("/") or "\0" in root:
        raise _malformed(run, f"it names {root!r} as the run's folder")
    _refuse_hostile(run, [file.path for file in files])
    return Listing(run, root, steps, files, skipped)


def _file(entry: dict[str, Any]) -> RemoteFile:
    path, size, mtime, digest, content = (entry.get(key) for key in ("path", "size", "mtime", "sha256", "content"))
    if not isinstance(path, str) or isinstance(size, bool) or not isinstance(size, int) or not 0 <= size < 1 << 60:
        raise ValueError(f"not a path and a size: {path!r}, {size!r}")
    if not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError(f"not a SHA-256: {digest!r}")
    if isinstance(mtime, bool) or not isinstance(mtime, int | float) or not math.isfinite(mtime):
        raise ValueError(f"not a time: {mtime!r}")
    return RemoteFile(path, size, float(mtime), digest, None if content is None else _decoded(content))


def _decoded(content: Any) -> bytes:
    try:
        return base64.b64decode(content, validate=True)
    except binascii.Error as error:
        raise ValueError(f"not base64: {error}") from error


def is_glob(text: str) -> bool:
    """Whether a pattern is whole: not empty, and every `[` has its `]`. One right behind `[` or `[!` is a member."""
    place = 0
    while (begin := text.find("[", place)) >= 0:
        member = begin + (2 if text[begin + 1 : begin + 2] == "!" else 1)
        place = text.find("]", member + 1) + 1
        if not place:
            return False
    return bool(text)


def is_safe(path: str) -> bool:
    """Whether a path from a host may be used here: it stays inside the folder and shows as what it is."""
    parts = path.split("/")
    if _HOSTILE.search(path) or any(part in ("", ".", "..") for part in parts):
        return False
    return len(path.encode()) <= PATH_LIMIT and all(len(part.encode()) <= NAME_LIMIT for part in parts)


def _refuse_hostile(run: str, paths: Iterable[str]) -> None:
    seen: set[str] = set()
    for path in paths:
        if not is_safe(path) or path in seen:
            raise Unverified(
                f"the host lists {ascii(path)[:200]} as a file of {run}"
                + (" twice" if path in seen and is_safe(path) else ""),
                why="a name from a host must lead to one file inside the target folder and nowhere else",
                fix="look at the run's folder on the host, and leave such a file out",
                example=f"fleet download lab-a --run {run} --exclude '*.tmp'",
            )
        seen.add(path)


def _malformed(run: str, problem: str) -> RemoteFailed:
    return RemoteFailed(
        f"the host's list of the files of {run} cannot be read: {problem[:300]}",
        why="each file needs a path, a size, a time and a SHA-256",
        fix="run it again; if it stays, report it with this text",
        example=f"fleet download lab-a --run {run}",
    )
