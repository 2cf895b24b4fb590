"""What the command line asks of one training command. Torch-free, so that `--help` and bad arguments answer at once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import hydra


@dataclass(frozen=True)
class TrainOptions:
    """The arguments of `trainer.py`, unresolved."""

    manifest: Path | None = None
    """Manifest file; None means the default one for a new run, and the run's own for a resume."""
    overrides: tuple[str, ...] = ()
    """`--set path=value`, in order."""
    resume: str | None = None
    """Run to continue: an id, a unique beginning of one, a path or `latest`; `@STEP` picks a checkpoint."""
    changed: tuple[str, ...] = ()
    """Dotted paths at which a resumed run's manifest may differ from the one it was made with."""
    only: str | None = None
    """Of a manifest with several runs, the name of the one to train here."""
    directory: Path | None = None
    """Folder of run directories, for finding the run to resume; None means the manifest's `runs.directory`."""


#: Beside the package in a checkout, so that the trainer may be started from anywhere.
DEFAULT_MANIFEST = Path(hydra.__file__).resolve().parents[1] / "manifests" / "default.yaml"
