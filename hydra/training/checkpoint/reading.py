"""The checkpoints of a run, for everybody who reads: resume, evaluation, generation, the command line, every rank."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hydra.errors import CheckpointError
from hydra.runs.encoding import decode
from hydra.training.checkpoint import names
from hydra.training.checkpoint.complete import Complete, read_complete
from hydra.training.checkpoint.loading import load_into, mismatches, refuse
from hydra.training.checkpoint.planning import DTYPES
from hydra.training.checkpoint.verification import Verification, read_layout, read_verified, verify


class Checkpoints:
    """The directory `checkpoints/` of a run. It holds a path and no state, changes nothing and takes no lock."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def steps(self) -> list[int]:
        """Steps of all checkpoints that are there, ascending; nothing is verified."""
        if not self.directory.is_dir():
            return []
        found = (
            names.step_of(entry.name) for entry in os.scandir(self.directory) if entry.is_dir(follow_symlinks=False)
        )
        return sorted(step for step in found if step is not None)

    def complete(self, step: int) -> Complete:
        """What COMPLETE.json says: run, attempt, experiment, metric, files. Raises CheckpointError."""
        return read_complete(self._folder(step), step)

    def verify(self, step: int) -> Verification:
        """Compare every file with its digest. Raises CheckpointError only if there is no such checkpoint."""
        return verify(self._folder(step), step)

    def newest_verified(self, resumed: tuple[int, int] | None = None) -> tuple[int | None, list[Verification]]:
        """The newest checkpoint that verifies, and the newer ones that did not.

        `resumed` is the newest attempt and the step that it continued from (`hydra.runs.last_resume`): what earlier
        attempts saved after that step belongs to a branch that was left, and is passed over. The rejected ones stay
        where they are. The pointer `latest` is not consulted: it is a convenience, not a proof.
        """
        rejected: list[Verification] = []
        for step in self._newest_first(resumed or (0, 0)):
            verification = self.verify(step)
            if verification.ok:
                return step, rejected
            rejected.append(verification)
        return None, rejected

    def latest(self) -> int | None:
        """The step that the pointer `latest` names; None if there is none."""
        return self._pointer(names.LATEST)

    def best(self) -> int | None:
        """The step that the pointer `best` names, the lowest bits per byte; None if there is none."""
        return self._pointer(names.BEST)

    def load(self, step: int, tensors: dict[str, Tensor]) -> dict[str, Any]:
        """Fill tensors in place and return the training record.

        Names, shapes and dtypes must match exactly, both ways. Everything read is compared with its digest in the same
        pass. Raises CheckpointError listing every difference, before anything is changed; or every damaged file, and
        then the tensors hold anything and must not be used.
        """
        folder = self._folder(step)
        complete = read_complete(folder, step)
        layout = read_layout(folder, complete)
        if differences := mismatches(layout, tensors):
            raise refuse(folder, differences)
        record = self.read_train(step)
        load_into(folder, complete, layout, tensors)
        return record

    def read_train(self, step: int) -> dict[str, Any]:
        """The training record as it was given to `save`, compared with its digest. Raises CheckpointError."""
        folder = self._folder(step)
        record: dict[str, Any] = decode(read_verified(folder, read_complete(folder, step), names.TRAIN))
        return record

    def read_tensors(self, step: int, prefix: str = "", device: str | torch.device = "cpu") -> dict[str, Tensor]:
        """New tensors for all names that begin with `prefix`, under their full names.

        Only the shards that hold them are read, and those are verified. Raises CheckpointError if no name begins so.
        """
        folder = self._folder(step)
        complete = read_complete(folder, step)
        layout = read_layout(folder, complete)
        tensors = {
            name: torch.empty(entry.shape, dtype=DTYPES[entry.dtype], device=device)
            for name, entry in layout.tensors.items()
            if name.startswith(prefix)
        }
        if not tensors:
            raise refuse(
                folder, [f"no tensor's name begins with {prefix!r}; one is {next(iter(layout.tensors), 'none')}"]
            )
        load_into(folder, complete, layout, tensors)
        return tensors

    def tokenizer(self, step: int) -> Path | None:
        """The directory of the tokenizer stored with a checkpoint, or None."""
        folder = self._folder(step) / names.TOKENIZER
        return folder if folder.is_dir() else None

    def _newest_first(self, resumed: tuple[int, int]) -> list[int]:
        """By serial, then what was there when the newest attempt began, by step; branches that were left are not in it.

        One whose COMPLETE.json cannot be read may be the newest, so it comes first and is looked at.
        """
        attempt, origin = resumed
        found: list[tuple[float, int]] = []
        for step in self.steps():
            try:
                complete = self.complete(step)
            except CheckpointError:
                found.append((float("inf"), step))
                continue
            if complete.attempt >= attempt:
                found.append((complete.serial, step))
            elif step <= origin:
                found.append((0, step))
        return [step for _, step in sorted(found, reverse=True)]

    def _folder(self, step: int) -> Path:
        folder = self.directory / names.folder(step)
        if not folder.is_dir():
            steps = self.steps()
            raise CheckpointError(
                f"there is no checkpoint of step {step} in {self.directory}",
                why=f"the steps that are there: {', '.join(map(str, steps)) or 'none'}",
                fix="name one of them, or leave the step out to take the newest",
                example=f"python trainer.py --resume RUN@{steps[-1]}" if steps else "python trainer.py",
            )
        return folder

    def _pointer(self, name: str) -> int | None:
        try:
            line = (self.directory / name).read_text("utf-8", errors="replace")
        except FileNotFoundError:
            return None
        step = names.step_of(line.removesuffix("\n"))
        if step is None:
            raise CheckpointError(
                f"{self.directory / name} does not name a checkpoint: {line[:80]!r}",
                why="it is only ever replaced as a whole by a line like `step-1200`, so it was changed from outside",
                fix="remove it; the next save writes it again",
                example=f"rm {self.directory / name}",
            )
        return step
