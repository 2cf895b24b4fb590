"""Verification: every file of a checkpoint against its size and digest, and its layout against the shards' headers."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from hydra.errors import CheckpointError
from hydra.training.checkpoint import names
from hydra.training.checkpoint.complete import Complete, complaints, read_complete, read_json_text, torn
from hydra.training.checkpoint.durable import Digest, digest_of, open_regular
from hydra.training.checkpoint.layout import Layout, header_problems

#: Files hashed at a time; hashing runs outside of the interpreter lock.
THREADS = min(8, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found when a checkpoint was compared with what was written."""

    step: int
    problems: tuple[str, ...]
    bytes: int
    """Size according to COMPLETE.json; 0 if that could not be read."""

    @property
    def ok(self) -> bool:
        """Whether it can be trusted."""
        return not self.problems


def verify(folder: Path, step: int) -> Verification:
    """Read a whole checkpoint and compare: missing and additional files, sizes, digests, layout, headers."""
    try:
        complete = read_complete(folder, step)
        problems = _file_problems(folder, complete)
        if not problems:
            layout = read_layout(folder, complete)
            problems = [
                problem for file in layout.files() for problem in _shard_problems(folder, complete, layout, file)
            ]
    except CheckpointError as error:
        return Verification(step, (error.what,), 0)
    except OSError as error:
        return Verification(step, (f"{error.filename or folder}: {error.strerror or error}",), 0)
    return Verification(step, tuple(problems), complete.size)


def read_layout(folder: Path, complete: Complete) -> Layout:
    """layout.json, compared with its digest, the files and itself. Raises CheckpointError."""
    text = read_verified(folder, complete, names.LAYOUT)
    try:
        layout = Layout.model_validate_json(text)
    except ValidationError as error:
        raise torn(folder, [f"{names.LAYOUT}: {problem}" for problem in complaints(error)]) from error
    if problems := layout.problems({name: file.size for name, file in complete.files.items()}):
        raise torn(folder, problems)
    return layout


def read_verified(folder: Path, complete: Complete, name: str) -> bytes:
    """A JSON file of the checkpoint, compared with its digest. Raises CheckpointError."""
    text = read_json_text(folder / name)
    if problem := _difference(name, Digest.of(text), complete.files[name].digest()):
        raise torn(folder, [problem])
    return text


def _file_problems(folder: Path, complete: Complete) -> list[str]:
    present = set(_walk(folder, "")) - {names.COMPLETE}
    found = [f"{name} is missing" for name in complete.files if name not in present]
    found += [f"{name} does not belong to it" for name in sorted(present - complete.files.keys())]
    shared = [name for name in complete.files if name in present]
    with ThreadPoolExecutor(THREADS) as pool:
        measured = pool.map(lambda name: _measure(folder, name, complete), shared)
    return found + [problem for problem in measured if problem]


def _measure(folder: Path, name: str, complete: Complete) -> str | None:
    try:
        with open_regular(folder / name) as file:
            size = os.fstat(file.fileno()).st_size
        expected = complete.files[name].digest()
        found = digest_of(folder / name) if size == expected.size else Digest(size, "")
    except OSError as error:
        return f"{name}: {error.strerror or error}"
    return _difference(name, found, expected)


def _difference(name: str, found: Digest, expected: Digest) -> str | None:
    if found.size != expected.size:
        return f"{name} has {found.size:,} bytes instead of {expected.size:,}"
    return None if found == expected else f"{name} has another SHA-256 than when it was written"


def _shard_problems(folder: Path, complete: Complete, layout: Layout, name: str) -> list[str]:
    with open_regular(folder / name) as file:
        problems, _ = header_problems(file, complete.files[name].size, layout.entries(name))
    return [f"{name}: {problem}" for problem in problems]


def _walk(folder: Path, prefix: str) -> Iterator[str]:
    """Names of everything below a directory that is not a directory itself; links are not followed."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield from _walk(folder / entry.name, f"{prefix}{entry.name}/")
            else:
                yield f"{prefix}{entry.name}"
