"""`hydra train`, which is also what `python trainer.py` runs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

from hydra.errors import UsageError
from hydra.training import signals, waiting
from hydra.training.options import TrainOptions


def command(
    manifest: Annotated[
        Path | None,
        typer.Argument(help="Manifest file; manifests/default.yaml when absent, or the run's own with --resume."),
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a setting, e.g. training.steps=50.")
    ] = None,
    resume: Annotated[
        str | None,
        typer.Option(metavar="RUN[@STEP]", help="Continue a run: id, unique beginning of one, path, or 'latest'."),
    ] = None,
    changed: Annotated[
        list[str] | None,
        typer.Option(metavar="PATH", help="With --resume: a setting that differs from the stored manifest on purpose."),
    ] = None,
    only: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a manifest with several runs, the one to train.")
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(help="Folder of run directories, where --resume looks; runs.directory when absent.")
    ] = None,
) -> None:
    """Train a model as a manifest says, or continue a run."""
    options = TrainOptions(
        manifest=manifest,
        overrides=tuple(overrides or ()),
        resume=resume,
        changed=tuple(changed or ()),
        only=only,
        directory=directory,
    )
    _require_use(options)
    # Listening starts before torch is imported, which takes seconds in which a signal would otherwise be lost.
    requests = signals.install()
    waiting.spin_briefly()
    entry = importlib.import_module("hydra.training.entry")
    code = entry.train(options, requests)
    signals.settle()
    raise typer.Exit(code)


def _require_use(options: TrainOptions) -> None:
    """Raise UsageError for an option that would do nothing beside the others."""
    idle = ""
    if options.resume is None:
        idle = "--changed" if options.changed else "--directory" if options.directory is not None else ""
    elif options.manifest is None and options.only is not None:
        idle = "--only"
    if idle:
        why = "a resumed run is one run already" if idle == "--only" else "it says something about a run to resume"
        raise UsageError(
            f"{idle} does nothing {'with' if idle == '--only' else 'without'} --resume",
            why=f"{why}, and an option without effect would be a silent mistake",
            fix="leave it out" if idle == "--only" else "add --resume, or set runs.directory for a new run",
            example="python trainer.py --resume latest"
            if idle == "--only"
            else "python trainer.py --set runs.directory=/data/runs",
        )
