"""Opening a run: a new directory, or an old one to be continued, with its lock held by this process.

Only rank 0 does this; the other ranks are told. A resume must continue the same experiment: its manifest equals the
stored one, or differs exactly where the command says it does.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from hydra.errors import RunError, UsageError
from hydra.manifest import Experiment, Manifest, Run, difference, from_tree, load
from hydra.manifest.identity import OUTSIDE_EXPERIMENT, resolved
from hydra.runs import RunDirectory, RunLock, last_attempt, observed_state, read_yaml
from hydra.training.checkpoint import Checkpoints
from hydra.training.identity import Identity
from hydra.training.options import DEFAULT_MANIFEST, TrainOptions
from hydra.training.sizes import measured


@dataclass
class Session:
    """A run that this process may write to."""

    run: RunDirectory
    manifest: Manifest
    origins: dict[str, str]
    attempt: int
    stored: dict[str, Any] | None
    """manifest.yaml of the attempt before; None for a new run."""
    step: int | None = None
    """The checkpoint to continue from, when one was named."""
    overrides: tuple[str, ...] = ()
    source: str = ""
    """The manifest's text as given; empty when the stored one was used."""
    lost: str | None = None
    """Why the attempt before ended without a word; None when it ended properly."""
    changed: tuple[str, ...] = ()
    """Paths at which a resumed run's manifest may differ from the stored one."""
    lock: RunLock | None = field(default=None, repr=False)

    @property
    def resumed(self) -> bool:
        """Whether the run existed before this process."""
        return self.stored is not None

    def shared(self) -> dict[str, Any]:
        """What the other ranks need, as JSON."""
        return {
            "path": str(self.run.path),
            "manifest": resolved(self.manifest),
            "origins": self.origins,
            "attempt": self.attempt,
            "stored": self.stored,
            "step": self.step,
            "changed": list(self.changed),
        }

    @classmethod
    def received(cls, facts: dict[str, Any], identity: Identity) -> Self:
        """The session of a rank that does not lead, from what rank 0 shared.

        On another host than rank 0's, the run directory is the one that this host's supervisor made.
        """
        own = identity.run_directory
        return cls(
            run=RunDirectory(Path(facts["path"])) if own is None else RunDirectory.adopt(own),
            manifest=from_tree(facts["manifest"]).runs[0].manifest,
            origins=facts["origins"],
            attempt=facts["attempt"],
            stored=facts["stored"],
            step=facts["step"],
            changed=tuple(facts["changed"]),
        )


def experiment_of(options: TrainOptions) -> Experiment:
    """All runs of the manifest that the options name, or of the default one."""
    return load(options.manifest or DEFAULT_MANIFEST, options.overrides, measure=measured)


def select(experiment: Experiment, name: str | None) -> Run:
    """The run to train in this process. Raises UsageError when the choice is not clear."""
    names = [run.manifest.name for run in experiment.runs]
    if name is None and len(names) == 1:
        return experiment.runs[0]
    for run in experiment.runs:
        if run.manifest.name == name:
            return run
    raise UsageError(
        f"there is no run named {name!r} in the manifest" if name else f"the manifest describes {len(names)} runs",
        why=f"its runs are {', '.join(names)}",
        fix="name one of them with --only",
        example=f"--only {names[0]}",
    )


def start(options: TrainOptions, chosen: Run, source: str, identity: Identity) -> Session:
    """Make the directory of a new run (or take the one that a supervisor made) and lock it."""
    manifest = chosen.manifest
    if identity.run_directory is not None:
        run = RunDirectory.adopt(identity.run_directory)
        if run.manifest.exists():
            raise RunError(
                f"{run.path} holds a run already",
                why="a new run there would mix its metrics and checkpoints with the old one's",
                fix="continue the run that is there, or give a new directory",
                example=f"python trainer.py --resume {run.path}",
            )
    else:
        run = RunDirectory.create(Path(manifest.runs.directory), manifest.name)
    attempt = identity.attempt or 1
    lock = RunLock.acquire(run.lock, attempt=attempt)
    return Session(
        run=run,
        manifest=manifest,
        origins=chosen.origins,
        attempt=attempt,
        stored=None,
        overrides=options.overrides,
        source=source,
        lock=lock,
    )


def resume(options: TrainOptions, identity: Identity) -> Session:
    """Find, lock and check a run to continue.

    Raises RunError, RunLocked (it is still running), UsageError, or CheckpointError for a step that was not saved.
    """
    assert options.resume is not None
    reference, at, step = options.resume.partition("@")
    if at and not step.isdigit():
        raise UsageError(
            f"--resume {options.resume!r}: {step!r} is not a step",
            why="the part after '@' names the checkpoint to continue from",
            fix="give a number, or leave the '@' out for the newest checkpoint",
            example="--resume latest@400",
        )
    run = RunDirectory.find(_root(options), reference)
    attempt = identity.attempt or last_attempt(run) + 1
    before = observed_state(run)
    lock = RunLock.acquire(run.lock, attempt=attempt)
    with contextlib.ExitStack() as refused:
        refused.callback(lock.close)
        session = _checked(options, run, attempt, int(step) if step else None, lock)
        session.lost = before.reason if before.state == "lost" else None
        refused.pop_all()
    return session


def _checked(options: TrainOptions, run: RunDirectory, attempt: int, step: int | None, lock: RunLock) -> Session:
    stored = read_yaml(run.manifest) if run.manifest.exists() else None
    if not isinstance(stored, dict) or "manifest" not in stored:
        raise RunError(
            f"run {run.id} has no manifest, so there is nothing to continue",
            why="it ended before it had written what it was going to train",
            fix="start it anew",
            example="python trainer.py",
        )
    before = from_tree(stored["manifest"]).runs[0]
    chosen, source = _requested(options, stored, before)
    check_changes(run.id, before.manifest, chosen.manifest, options.changed)
    _check_batch(before.manifest, chosen.manifest)
    if step is not None:
        # Here, where nothing is written yet: a mistyped step must not turn a completed run into a failed one.
        Checkpoints(run.checkpoints).complete(step)
    return Session(
        run=run,
        manifest=chosen.manifest,
        origins=chosen.origins,
        attempt=attempt,
        stored=stored,
        step=step,
        overrides=options.overrides,
        source=source,
        changed=options.changed,
        lock=lock,
    )


def _root(options: TrainOptions) -> Path:
    if options.directory is not None:
        return options.directory
    path = options.manifest or DEFAULT_MANIFEST
    return Path(load(path).runs[0].manifest.runs.directory) if path.is_file() else Path("runs")


def _requested(options: TrainOptions, stored: dict[str, Any], before: Run) -> tuple[Run, str]:
    if options.manifest is None:
        if not options.overrides:
            return Run(before.manifest, stored.get("origins", before.origins), before.arm), ""
        return from_tree(stored["manifest"], options.overrides, origins=stored.get("origins")).runs[0], ""
    experiment = load(options.manifest, options.overrides, measure=measured)
    return select(experiment, options.only or _same_name(experiment, before.manifest.name)), experiment.text


def _same_name(experiment: Experiment, name: str) -> str | None:
    return name if any(run.manifest.name == name for run in experiment.runs) else None


def _check_batch(before: Manifest, after: Manifest) -> None:
    """Which samples a step trains on follows from its number and the batch, so the batch cannot change on the way."""
    if after.training.batch != before.training.batch:
        raise RunError(
            f"training.batch changes from {before.training.batch} to {after.training.batch} in the middle of a run",
            why="the step's number times the batch says which samples come next; some would be skipped or seen twice",
            fix="keep the batch (training.micro_batch and the number of ranks may change freely), or start a new run",
            example="--set training.micro_batch=4 --changed training.micro_batch",
        )


def check_changes(run_id: str, before: Manifest, after: Manifest, changed: tuple[str, ...]) -> None:
    """Raise RunError unless two manifests differ exactly at the paths named (or below them)."""
    found = {
        path: values
        for path, values in difference(resolved(before), resolved(after)).items()
        if path.split(".")[0] not in OUTSIDE_EXPERIMENT
    }
    unnamed = [path for path in found if not any(_covers(name, path) for name in changed)]
    idle = [name for name in changed if not any(_covers(name, path) for path in found)]
    if unnamed:
        shown = "; ".join(f"{path}: {found[path][0]!r} -> {found[path][1]!r}" for path in unnamed[:10])
        raise RunError(
            f"run {run_id} was made with another manifest: {shown}",
            why="continuing under other settings would be another experiment under the same name",
            fix="resume without a manifest, start a new run, or name every path that changes with --changed",
            example=" ".join(["python trainer.py --resume", run_id, *(f"--changed {path}" for path in unnamed[:10])]),
        )
    if idle:
        raise RunError(
            f"--changed {idle[0]} names a setting that does not differ",
            why="the list of changes is stored with the run and must be exact",
            fix="remove it, or set the new value with --set",
            example="--set training.steps=2000 --changed training.steps",
        )


def _covers(name: str, path: str) -> bool:
    return path == name or path.startswith(name + ".")
