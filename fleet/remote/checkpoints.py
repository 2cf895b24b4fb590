"""The newest checkpoint that can be trusted: every file of it compared with the digest that was written last.

The format is that of `hydra.training.checkpoint`: `checkpoints/step-N/COMPLETE.json` lists each file with size and
SHA-256. A torn one is passed over and never deleted. When there is no time to read everything, sizes and the first and
last blocks are looked at, and the answer says so (`quick`).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import threading
import time
from typing import Any, NamedTuple

from fleet.remote.events import last_beginning
from fleet.remote.places import RunFiles, step_of

#: Seconds for reading one checkpoint in full.
BUDGET = 300.0

COMPLETE = "COMPLETE.json"
_REQUIRED = ("layout.json", "train.json")
_THREADS = min(8, os.cpu_count() or 1)
_PIECE = 8 << 20
_BLOCK = 1 << 20
_JSON_LIMIT = 256 << 20
#: In the place of a serial that cannot be read.
_UNREADABLE = float("inf")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


class Verified(NamedTuple):
    """A checkpoint that verified."""

    step: int
    quick: bool
    """Whether only sizes and the ends of its files were looked at."""
    written_ns: int
    """When its COMPLETE.json was written, by the clock of the file system."""

    def field(self) -> dict[str, Any]:
        """The same as `state.json` has it."""
        return {"step": self.step, "quick": self.quick}


class Rejected(NamedTuple):
    """A checkpoint that did not verify, and why."""

    step: int
    problems: list[str]


class Search(NamedTuple):
    """What a search for the newest checkpoint found."""

    verified: Verified | None
    rejected: list[Rejected]
    """The newer ones that are torn, newest first."""


class _Listed(NamedTuple):
    attempt: int
    serial: int
    files: dict[str, tuple[int, str]]


class _Torn(Exception):
    """A checkpoint that cannot be what was written."""


def newest(files: RunFiles, budget: float = BUDGET) -> Search:
    """Search for the newest checkpoint that verifies, newest first.

    By `hydra`'s rule: the highest serial of the newest attempt that trained; then, from before it, no later step than
    the one it began at, because what was saved after that belongs to a branch that was left.
    """
    rejected: list[Rejected] = []
    for step in _newest_first(files):
        found = verify(files, step, budget)
        if isinstance(found, Verified):
            return Search(found, rejected)
        rejected.append(found)
    return Search(None, rejected)


def newest_recorded(files: RunFiles, attempt: int) -> int | None:
    """The newest checkpoint of the branch that a run in this attempt is on, as `newest` would search, but nothing is
    hashed: one whose COMPLETE.json cannot be read does not count, any other does.
    """
    # A first attempt has left no branch, and its events may be many.
    ranked = _ranked(files, last_beginning(files.events) if attempt > 1 else (0, 0))
    return next((step for serial, step in ranked if serial != _UNREADABLE), None)


def verify(files: RunFiles, step: int, budget: float = BUDGET) -> Verified | Rejected:
    """Compare one checkpoint with its COMPLETE.json."""
    folder = os.path.join(files.checkpoints, f"step-{step}")
    deadline = time.monotonic() + budget
    try:
        listed = _complete(folder, step)
        written = os.stat(os.path.join(folder, COMPLETE)).st_mtime_ns
        present = set(_walk(folder)) - {COMPLETE}
    except _Torn as torn:
        return Rejected(step, [str(torn)])
    except OSError as error:
        return Rejected(step, [f"{error.filename or folder}: {error.strerror}"])
    problems = [f"{name} is missing" for name in sorted(listed.files.keys() - present)]
    problems += [f"{name} does not belong to it" for name in sorted(present - listed.files.keys())]
    names = sorted(listed.files.keys() & present)
    results = _files(folder, listed.files, names, deadline)
    problems += [f"{name} {problem}" for name, (problem, _) in results if problem]
    if problems:
        return Rejected(step, problems)
    return Verified(step, any(quick for _, (_, quick) in results), written)


def steps(files: RunFiles) -> list[int]:
    """Steps of all checkpoints that are there, ascending; nothing is verified."""
    try:
        with os.scandir(files.checkpoints) as entries:
            found = [step_of(entry.name) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []
    return sorted(step for step in found if step is not None)


def pointed(files: RunFiles, pointer: str) -> int | None:
    """The step that `latest` or `best` names, or None."""
    try:
        with open(os.path.join(files.checkpoints, pointer), encoding="utf-8", errors="replace") as file:
            return step_of(file.read(64).rstrip("\n"))
    except OSError:
        return None


def _newest_first(files: RunFiles) -> list[int]:
    return [step for _, step in _ranked(files, last_beginning(files.events))]


def _ranked(files: RunFiles, beginning: tuple[int, int]) -> list[tuple[float, int]]:
    """Serial and step of each checkpoint, newest first, without those of a branch that was left."""
    attempt, origin = beginning
    found: list[tuple[float, int]] = []
    for step in steps(files):
        try:
            listed = _complete(os.path.join(files.checkpoints, f"step-{step}"), step)
        except (_Torn, OSError):
            # It may be the newest, so it is looked at, and reported.
            found.append((_UNREADABLE, step))
            continue
        if listed.attempt >= attempt:
            found.append((listed.serial, step))
        elif step <= origin:
            found.append((0, step))
    return sorted(found, reverse=True)


def _complete(folder: str, step: int) -> _Listed:
    with open(os.path.join(folder, COMPLETE), "rb", opener=_regular) as file:
        if os.fstat(file.fileno()).st_size > _JSON_LIMIT:
            raise _Torn(f"{COMPLETE} is larger than any of its kind")
        text = file.read()
    try:
        complete = json.loads(text.decode("utf-8"))
        listed = {str(name): (entry["size"], entry["sha256"]) for name, entry in complete["files"].items()}
        found = _Listed(complete["attempt"], complete["serial"], listed)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _Torn(f"{COMPLETE} is malformed: {error!r}") from None
    numbers = (found.attempt, found.serial, complete.get("step"), *(size for size, _ in listed.values()))
    if complete.get("schema") != 1 or not all(type(number) is int and number >= 0 for number in numbers):
        raise _Torn(f"{COMPLETE} is not of a form that is known here")
    if complete["step"] != step:
        raise _Torn(f"{COMPLETE} belongs to step {complete['step']}")
    for name, (_, digest) in listed.items():
        if not _inside(name) or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
            raise _Torn(f"{COMPLETE} lists {name!r}, which is no file of a checkpoint")
    missing = [name for name in _REQUIRED if name not in listed]
    if missing:
        raise _Torn(f"{COMPLETE} does not list {missing[0]}")
    return found


def _inside(name: str) -> bool:
    parts = name.split("/")
    return bool(name) and not {"", ".", ".."} & set(parts) and not _CONTROL.search(name) and name != COMPLETE


def _walk(folder: str, prefix: str = "") -> list[str]:
    """Names of all that is no directory below one; links are not followed."""
    found = []
    with os.scandir(os.path.join(folder, prefix)) as entries:
        for entry in entries:
            name = prefix + entry.name
            found += _walk(folder, name + "/") if entry.is_dir(follow_symlinks=False) else [name]
    return found


def _regular(path: str, flags: int) -> int:
    """Open a file that is no link, pipe or device."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(22, "not a regular file", path)
    return descriptor


def _files(
    folder: str, listed: dict[str, tuple[int, str]], names: list[str], deadline: float
) -> list[tuple[str, tuple[str, bool]]]:
    """Look at several files at a time, since hashing runs outside of the interpreter's lock."""
    waiting = sorted(names, key=lambda name: listed[name][0])
    found: dict[str, tuple[str, bool]] = {}

    def work() -> None:
        while waiting:
            try:
                name = waiting.pop()
            except IndexError:
                return
            found[name] = _file(os.path.join(folder, name), *listed[name], deadline)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(_THREADS, len(names)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [(name, found[name]) for name in names]


def _file(path: str, size: int, digest: str, deadline: float) -> tuple[str, bool]:
    """What is wrong with a file, or nothing; and whether there was no time to read all of it."""
    try:
        with open(path, "rb", buffering=0, opener=_regular) as file:
            found = os.fstat(file.fileno()).st_size
            if found != size:
                return f"has {found:,} bytes instead of {size:,}", False
            hashed = hashlib.sha256()
            piece = memoryview(bytearray(min(_PIECE, size or 1)))
            while True:
                if time.monotonic() > deadline:
                    return _ends(file.fileno(), size), True
                read = file.readinto(piece)
                if not read:
                    break
                hashed.update(piece[:read])
    except OSError as error:
        return f"cannot be read: {error.strerror}", False
    return ("" if hashed.hexdigest() == digest else "has another SHA-256 than when it was written"), False


def _ends(descriptor: int, size: int) -> str:
    """The look at a file's first and last block that time allows: whether the disk gives them."""
    for offset in {0, max(0, size - _BLOCK)}:
        wanted = min(_BLOCK, size - offset)
        if len(os.pread(descriptor, wanted, offset)) != wanted:
            return "ends early"
    return ""
