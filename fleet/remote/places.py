"""Where things are on the host: the folders of a deploy_dir and the files of a run, as absolute real paths."""

from __future__ import annotations

import hashlib
import os
import re
from typing import NamedTuple

from fleet.remote.atomic import sync_directory
from fleet.remote.fields import RUN_ID
from fleet.remote.refusal import Refusal, usage

_FOLDERS = ("log", "checkpoints", "profiles", "flight", "guard", "crash", "control")
_STEP = re.compile(r"step-(0|[1-9][0-9]{0,17})")


class RunFiles(NamedTuple):
    """The files of one run directory; their names are those of `hydra.runs.RunDirectory`, and fleet's own beside."""

    path: str

    @property
    def run(self) -> str:
        """The run id, which is the directory's name."""
        return os.path.basename(self.path)

    def file(self, *names: str) -> str:
        """A path below the run directory."""
        return os.path.join(self.path, *names)

    @property
    def state(self) -> str:
        """`state.json`, written by the supervisor alone."""
        return self.file("state.json")

    @property
    def launch(self) -> str:
        """`launch.json`: what the supervisor was told, and where release and environment really are."""
        return self.file("launch.json")

    @property
    def record(self) -> str:
        """`run.json`: what is needed to do the run again."""
        return self.file("run.json")

    @property
    def events(self) -> str:
        """`events.jsonl`, written by the trainer, and by the supervisor only while no trainer lives."""
        return self.file("events.jsonl")

    @property
    def lock(self) -> str:
        """Held by the live trainer."""
        return self.file("lock")

    @property
    def supervisor_lock(self) -> str:
        """Held by the live supervisor."""
        return self.file("supervisor.lock")

    @property
    def log(self) -> str:
        """The folder of the log's segments."""
        return self.file("log")

    @property
    def checkpoints(self) -> str:
        """The folder of checkpoints."""
        return self.file("checkpoints")

    @property
    def stop_request(self) -> str:
        """What asks the supervisor to stop. The dot in its stem keeps the trainer from taking it for its own."""
        return self.file("control", "fleet.stop.json")

    @property
    def stop_report(self) -> str:
        """What the supervisor answers to it."""
        return self.file("control", "fleet.stopped.json")

    def create(self) -> None:
        """Make the directory and its folders, readable by this user alone. Raises OSError."""
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        for folder in _FOLDERS:
            os.makedirs(self.file(folder), exist_ok=True)
        sync_directory(self.path)
        sync_directory(os.path.dirname(self.path))


class DeployDir(NamedTuple):
    """The folder of a project on this host."""

    path: str
    """Absolute and real."""

    @classmethod
    def at(cls, text: str) -> DeployDir:
        """The folder that a request names; `~/` is this user's home. Raises Refusal for a relative path."""
        path = os.path.expanduser(text) if text.startswith("~/") else text
        if not os.path.isabs(path):
            raise usage(
                f"deploy_dir {text!r} is not absolute",
                why="a relative folder would depend on where the login starts",
                fix="give an absolute path, or one that starts with ~/",
                example='"deploy_dir": "~/fleet/hydra"',
            )
        return cls(os.path.realpath(path))

    def run(self, run: str) -> RunFiles:
        """The files of a run. Raises Refusal for what is no run id."""
        if not RUN_ID.fullmatch(run):
            raise usage(
                f"{run[:80]!r} is no run id",
                why="ids are made of a-z, 0-9 and -, at most 64 of them",
                fix="give the id as `fleet runs` shows it",
                example="small-lm-20260131-235959-k3qz",
            )
        return RunFiles(os.path.join(self.path, "runs", run))

    def existing_run(self, run: str) -> RunFiles:
        """The files of a run that is there. Raises Refusal of kind not-found."""
        files = self.run(run)
        if not os.path.isdir(files.path):
            raise Refusal(
                "not-found",
                f"there is no run {run} in {self.path}/runs",
                why="it was started elsewhere, or removed",
                fix="choose one of the runs that are there",
                example="fleet runs",
            )
        return files

    def runs(self) -> list[RunFiles]:
        """Every directory that may be a run, in no order."""
        root = os.path.join(self.path, "runs")
        if not os.path.isdir(root):
            return []
        with os.scandir(root) as entries:
            found = [entry.path for entry in entries if RUN_ID.fullmatch(entry.name) and entry.is_dir()]
        return [RunFiles(path) for path in found]

    @property
    def digest(self) -> str:
        """16 hex digits naming this folder, for its reservation."""
        return hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]


def step_of(name: str) -> int | None:
    """The step that a checkpoint's folder stands for, or None for another name."""
    match = _STEP.fullmatch(name)
    return int(match[1]) if match else None
