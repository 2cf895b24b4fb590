"""Arguments and options that several commands share, so that they mean and say the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run: its id, a unique beginning of it, its path, or 'latest'.")
]
ManifestArgument = Annotated[Path, typer.Argument(metavar="MANIFEST", help="Manifest file.", show_default=False)]
SourceArgument = Annotated[
    str, typer.Argument(metavar="MANIFEST|RUN", help="A manifest file, or a run: id, beginning, path, or 'latest'.")
]
DirectoryOption = Annotated[Path, typer.Option("--directory", help="Folder of run directories.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
StepOption = Annotated[
    int | None,
    typer.Option("--step", min=0, metavar="N", help="Checkpoint to use; the newest that verifies if absent."),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option("--device", help="Where to compute; auto: CUDA where there is a GPU.")
]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="PATH=VALUE", help="Change a setting, e.g. training.steps=50.")
]
OnlyOption = Annotated[
    str | None, typer.Option("--only", metavar="NAME", help="Of a manifest with several runs, the one that is meant.")
]

#: Where runs are looked for.
RUNS = Path("runs")
