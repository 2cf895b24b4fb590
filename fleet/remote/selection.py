"""Which checkpoints of a run are meant by `latest`, `best`, a step, `all` or `none`, and which files they consist of.

Only complete ones count: those whose COMPLETE.json, written last, is there and says what the folder holds.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, NamedTuple

from fleet.remote.checkpoints import newest_recorded
from fleet.remote.events import last_beginning
from fleet.remote.places import RunFiles

COMPLETE = "COMPLETE.json"
POINTERS = ("latest", "best")
#: Bytes of the largest COMPLETE.json that is believed.
LIMIT = 64 << 20
_STEP = re.compile(r"step-(0|[1-9][0-9]{0,17})")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class Stored(NamedTuple):
    """A file of a checkpoint as COMPLETE.json lists it; `path` is relative to the run directory."""

    path: str
    size: int
    sha256: str


class Checkpoint(NamedTuple):
    """One complete checkpoint."""

    step: int
    serial: int
    metric: float | None
    files: list[Stored]


class Torn(Exception):
    """A checkpoint that is not what its COMPLETE.json says, or has none that can be read."""


def read(run: str, step: int) -> Checkpoint:
    """The checkpoint of a step. Raises Torn."""
    folder = f"checkpoints/step-{step}"
    path = os.path.join(run, folder, COMPLETE)
    try:
        if os.path.getsize(path) > LIMIT:
            raise Torn(f"{folder}/{COMPLETE} is too large to be one")
        with open(path, "rb") as file:
            record = json.loads(file.read().decode("utf-8"))
        found = [Stored(f"{folder}/{name}", *_pair(entry)) for name, entry in sorted(record["files"].items())]
        metric = record.get("metric")
        return Checkpoint(step, int(record["serial"]), None if metric is None else float(metric), found)
    except OSError as error:
        raise Torn(f"{folder}/{COMPLETE}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Torn(f"{folder}/{COMPLETE} is malformed: {error!r}") from error


def check_sizes(run: str, checkpoint: Checkpoint) -> None:
    """Compare the sizes on the disk with the listed ones, so that nothing is sent in vain. Raises Torn."""
    for file in checkpoint.files:
        try:
            size = os.lstat(os.path.join(run, file.path)).st_size
        except OSError as error:
            raise Torn(f"{file.path}: {error.strerror}") from error
        if size != file.size:
            raise Torn(f"{file.path} has {size} bytes, {COMPLETE} says {file.size}")


def steps(run: str) -> list[int]:
    """Steps of the checkpoints that are there, ascending; nothing is checked."""
    try:
        names = os.listdir(os.path.join(run, "checkpoints"))
    except OSError:
        return []
    return sorted(int(match.group(1)) for match in map(_STEP.fullmatch, names) if match)


def named(run: str, pointer: str) -> int | None:
    """The step that `checkpoints/latest` or `checkpoints/best` names, or None."""
    try:
        with open(os.path.join(run, "checkpoints", pointer), "rb") as file:
            text = file.read(64).decode("ascii", "replace").strip()
    except OSError:
        return None
    match = _STEP.fullmatch(text)
    return int(match.group(1)) if match else None


def newest(run: str, wanted: str) -> int | None:
    """The step of `latest` or `best`, or None if no checkpoint is complete (or measured).

    The latest is the newest of the branch that the run is on, whatever the pointer says: when a run goes on from an
    earlier checkpoint, its pointer names one of the branch that was left until the next is saved. The best is what its
    pointer names if that is complete, else the one with the lowest metric.
    """
    if wanted == "latest":
        files = RunFiles(run)
        return newest_recorded(files, last_beginning(files.events)[0])
    complete: dict[int, Checkpoint] = {}
    for step in steps(run):
        try:
            complete[step] = read(run, step)
        except Torn:
            continue
    pointed = named(run, wanted)
    if pointed in complete:
        return pointed
    measured = [(item.metric, -item.serial, item.step) for item in complete.values() if item.metric is not None]
    return min(measured)[2] if measured else None


def _pair(entry: Any) -> list[Any]:
    size, digest = entry["size"], entry["sha256"]
    if not isinstance(size, int) or size < 0 or not isinstance(digest, str) or not _DIGEST.fullmatch(digest):
        raise ValueError(f"not a size and a SHA-256: {entry!r}")
    return [size, digest]
