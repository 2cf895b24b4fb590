"""`hydra train`, which is also what `python trainer.py` runs."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Annotated

import typer

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
    # Listening starts before torch is imported, which takes seconds in which a signal would otherwise be lost.
    requests = signals.install()
    waiting.spin_briefly()
    entry = importlib.import_module("hydra.training.entry")
    raise typer.Exit(entry.train(options, requests))
