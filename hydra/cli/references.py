"""From what a person typed to a manifest: a file, or a run by id, beginning, path or `latest`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.errors import RunError, UsageError
from hydra.manifest import Experiment, Run, from_tree, load
from hydra.runs import RunDirectory, read_yaml

_ENDINGS = (".yaml", ".yml", ".json")


class Described(NamedTuple):
    """A manifest, lowered to one run, and what it was called."""

    name: str
    run: Run


def described(reference: str, directory: Path, *, only: str | None = None, overrides: Sequence[str] = ()) -> Described:
    """The manifest that a reference means, a file before a run. Raises ManifestError, RunError or UsageError."""
    path = Path(reference)
    if path.is_file() or path.suffix in _ENDINGS:
        return Described(reference, one_of(load(path, overrides), only))
    run = RunDirectory.find(directory, reference)
    document = record_of(run)
    experiment = from_tree(document["manifest"], overrides, origins=document.get("origins"))
    return Described(run.id, experiment.runs[0])


def record_of(run: RunDirectory) -> Mapping[str, Any]:
    """What manifest.yaml of a run holds. Raises RunError if the run died before it was written."""
    document = read_yaml(run.manifest) if run.manifest.exists() else None
    if isinstance(document, dict) and isinstance(document.get("manifest"), dict):
        return document
    raise RunError(
        f"run {run.id} has no manifest",
        why="it ended before it had written what it was going to train",
        fix="choose another run",
        example="hydra runs",
    )


def one_of(experiment: Experiment, only: str | None) -> Run:
    """The run of an experiment that is meant. Raises UsageError unless there is one, or one with that name."""
    names = [run.manifest.name for run in experiment.runs]
    if only is None and len(names) == 1:
        return experiment.runs[0]
    for run in experiment.runs:
        if run.manifest.name == only:
            return run
    raise UsageError(
        f"the manifest has no run named {only!r}" if only else f"the manifest describes {len(names)} runs",
        why=f"its runs are {', '.join(names)}",
        fix="name one of them with --only",
        example=f"--only {names[0]}",
    )
