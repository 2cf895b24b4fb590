"""The run directory: every file of a run, by name. Nothing else in the program spells these paths."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from hydra.errors import RunError
from hydra.runs import names
from hydra.runs.atomic import sync_directory
from hydra.runs.failures import write_failed
from hydra.runs.identifier import RunId
from hydra.runs.search import find_path, is_run

_DRAWS = 100


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """`runs/<run-id>/`, the only interface between trainer, supervisor, fleet and dashboard.

    It holds a path and no state: two of them for one directory are equal, and none needs closing.
    """

    path: Path

    @classmethod
    def create(cls, root: Path, name: str, now: datetime | None = None) -> RunDirectory:
        """Make the directory of a new run under `root` and return it.

        The directory is made exclusively: whoever makes it owns the id, whatever anybody else draws in that second.
        Raises RunError for a name that cannot be in an id, RunWriteError if the folder cannot be made.
        """
        try:
            root.mkdir(parents=True, exist_ok=True)
            for _ in range(_DRAWS):
                path = root.resolve() / str(RunId.draw(name, now))
                try:
                    path.mkdir()
                except FileExistsError:
                    continue
                return cls.adopt(path)
        except OSError as error:
            raise write_failed(root, error) from error
        raise AssertionError(f"{_DRAWS} random ids in a row were taken in {root}")

    @classmethod
    def adopt(cls, path: Path) -> RunDirectory:
        """Take a directory that a launcher chose (or `create` made) and give it the folders of a run."""
        run = cls(path.resolve())
        try:
            for folder in names.FOLDERS:
                (run.path / folder).mkdir(parents=True, exist_ok=True)
            sync_directory(run.path)
            sync_directory(run.path.parent)
        except OSError as error:
            raise write_failed(run.path, error) from error
        return run

    @classmethod
    def open(cls, path: Path) -> RunDirectory:
        """The run directory at a path. Raises RunError if there is none."""
        if not is_run(path):
            raise RunError(
                f"{path} is not a run directory",
                why="it does not exist, or holds neither a manifest nor a state and its name is no run id",
                fix="give the directory that holds manifest.yaml",
                example="runs/small-lm-20260131-235959-k3qz",
            )
        return cls(path.resolve())

    @classmethod
    def find(cls, root: Path, reference: str) -> RunDirectory:
        """The run that a reference means: an id, a unique beginning of one, a path, or `latest` (see `find_path`)."""
        return cls(find_path(root, reference).resolve())

    @property
    def id(self) -> str:
        """The run id, which is the directory's name."""
        return self.path.name

    @property
    def manifest(self) -> Path:
        """What the present attempt runs: the resolved manifest with the origin of each value."""
        return self.path / names.MANIFEST

    def earlier_manifest(self, attempt: int) -> Path:
        """The manifest of an attempt before the present one."""
        return self.path / f"manifest.{attempt}.yaml"

    @property
    def manifest_source(self) -> Path:
        """The manifest as the user gave it, with the changes of the command line."""
        return self.path / names.MANIFEST_SOURCE

    @property
    def environment(self) -> Path:
        """Versions, devices, processor and memory that the attempt ran on."""
        return self.path / names.ENVIRONMENT

    @property
    def capabilities(self) -> Path:
        """What the machine can do and which path each op takes."""
        return self.path / names.CAPABILITIES

    @property
    def state(self) -> Path:
        """The life cycle: `hydra.runs.State`."""
        return self.path / names.STATE

    @property
    def progress(self) -> Path:
        """The heartbeat: `hydra.runs.Progress`."""
        return self.path / names.PROGRESS

    @property
    def metrics(self) -> Path:
        """One line a step: `hydra.runs.MetricRow`."""
        return self.path / names.METRICS

    @property
    def events(self) -> Path:
        """What happened, numbered across attempts: `hydra.runs.Event`."""
        return self.path / names.EVENTS

    @property
    def comparison(self) -> Path:
        """What a run of a comparison proves about its conditions and its end; written by such runs alone."""
        return self.path / names.COMPARISON

    @property
    def samples(self) -> Path:
        """Text that the model wrote: `hydra.runs.SampleRow`."""
        return self.path / names.SAMPLES

    @property
    def train_log(self) -> Path:
        """The log of rank 0."""
        return self.path / names.TRAIN_LOG

    def rank_log(self, rank: int) -> Path:
        """The log of one rank."""
        return self.path / names.LOG / f"rank-{rank}.log"

    @property
    def checkpoints(self) -> Path:
        """The folder of all checkpoints; `latest` and `best` in it are one-line pointers."""
        return self.path / names.CHECKPOINTS

    def checkpoint(self, step: int) -> Path:
        """The checkpoint of a step."""
        return self.checkpoints / f"step-{step}"

    @property
    def tokenizer(self) -> Path:
        """The tokenizer that the run was trained with."""
        return self.path / names.TOKENIZER

    @property
    def profiles(self) -> Path:
        """Traces and memory snapshots."""
        return self.path / names.PROFILES

    @property
    def flight(self) -> Path:
        """Dumps of the collectives before a timeout."""
        return self.path / names.FLIGHT

    @property
    def guard(self) -> Path:
        """Evidence of steps that a guard judged."""
        return self.path / names.GUARD

    def guard_report(self, step: int) -> Path:
        """The evidence of one step: sample ids, sources, text, norms."""
        return self.guard / f"step-{step}.json"

    @property
    def crash(self) -> Path:
        """Error files, one a rank."""
        return self.path / names.CRASH

    def crash_report(self, rank: int) -> Path:
        """The error file of one rank."""
        return self.crash / f"rank-{rank}.json"

    @property
    def control(self) -> Path:
        """Requests to the trainer: `hydra.runs.request`."""
        return self.path / names.CONTROL

    @property
    def lock(self) -> Path:
        """Held by the live trainer: `hydra.runs.RunLock`."""
        return self.path / names.LOCK

    @property
    def supervisor_lock(self) -> Path:
        """Held by the supervisor that owns the run's life, if one does; it also covers the time between attempts."""
        return self.path / names.SUPERVISOR_LOCK
