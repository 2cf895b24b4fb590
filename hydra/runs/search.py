"""Finding a run by what a person types: its id, the beginning of its id, its path, or `latest`."""

from __future__ import annotations

import difflib
import math
import os
from pathlib import Path

from hydra.errors import RunError
from hydra.runs import names
from hydra.runs.encoding import decode
from hydra.runs.identifier import RunId

LATEST = "latest"
_SHOWN = 5


def run_paths(root: Path) -> list[Path]:
    """The run directories under a folder, newest first; none if the folder does not exist."""
    if not root.is_dir():
        return []
    return sorted((path for path in root.iterdir() if is_run(path)), key=_age_key, reverse=True)


def is_run(path: Path) -> bool:
    """Whether a path is a run directory: a directory with a run id for a name, or one that holds a run's files."""
    if not path.is_dir():
        return False
    return RunId.parse(path.name) is not None or (path / names.MANIFEST).is_file() or (path / names.STATE).is_file()


def started_at(path: Path) -> float:
    """When a run started, Unix seconds: the time in its id, else its first event, else the directory's own time."""
    identifier = RunId.parse(path.name)
    if identifier is not None:
        return identifier.started.timestamp()
    first = _first_event_time(path)
    return path.stat().st_mtime if first is None else first


def find_path(root: Path, reference: str) -> Path:
    """The run directory that a reference means.

    `latest` is the run that started last. A reference with a slash, or one that is itself a run directory, is a path;
    everything else is looked up under `root`: the whole id first, then the one id that begins so. Raises RunError,
    naming what is close, if nothing or more than one run fits.
    """
    runs = run_paths(root)
    if reference == LATEST:
        if not runs:
            raise _absent(root, reference, runs, why=f"no run was ever started in {root}")
        return runs[0]
    if os.sep in reference or is_run(Path(reference)):
        return _by_path(root, reference, runs)
    by_name = {path.name: path for path in runs}
    if reference in by_name:
        return by_name[reference]
    matches = [path for path in runs if reference and path.name.startswith(reference)]
    if not matches:
        raise _absent(root, reference, runs, why=f"no run in {root} has this id or one that begins so")
    if len(matches) > 1:
        raise _ambiguous(root, reference, matches)
    return matches[0]


def _by_path(root: Path, reference: str, runs: list[Path]) -> Path:
    path = Path(reference).expanduser()
    if not is_run(path):
        raise _absent(root, reference, runs, why=f"{path} is not a run directory")
    return path.resolve()


def _absent(root: Path, reference: str, runs: list[Path], *, why: str) -> RunError:
    known = [path.name for path in runs]
    close = difflib.get_close_matches(reference.rstrip(os.sep).rpartition(os.sep)[2], known, n=_SHOWN, cutoff=0.5)
    shown = close or known[:_SHOWN]
    if not shown:
        fix = f"start a run first, or name the folder that holds the runs ({root} holds none)"
        return RunError(f"there is no run {reference!r}", why=why, fix=fix, example="python trainer.py")
    listed = ", ".join(shown)
    fix = f"closest: {listed}" if close else f"the newest runs are: {listed}"
    return RunError(f"there is no run {reference!r}", why=why, fix=fix, example=shown[0])


def _ambiguous(root: Path, reference: str, matches: list[Path]) -> RunError:
    listed = ", ".join(path.name for path in matches[:_SHOWN])
    more = f" and {len(matches) - _SHOWN} more" if len(matches) > _SHOWN else ""
    return RunError(
        f"{reference!r} could be any of {len(matches)} runs",
        why=f"these ids in {root} begin so: {listed}{more}",
        fix="type more of the id, or `latest` for the newest run",
        example=matches[0].name,
    )


def _age_key(path: Path) -> tuple[float, float, str]:
    """Order by start. Ids tell whole seconds; within one, the first event decides, and a run without any is newest."""
    first = _first_event_time(path)
    return (math.floor(started_at(path)), math.inf if first is None else first, path.name)


def _first_event_time(path: Path) -> float | None:
    try:
        with (path / names.EVENTS).open("rb") as file:
            time = decode(file.readline())["time"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(time) if isinstance(time, int | float) and math.isfinite(time) else None
