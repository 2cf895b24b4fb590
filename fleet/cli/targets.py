"""Arguments that name hosts and runs, with completion from fleet.json and from what was last seen."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from hydra.errors import HydraError


def complete_target(incomplete: str) -> list[str]:
    """Names of instances and groups that begin so; also after a comma."""
    head, comma, tail = incomplete.rpartition(",")
    return [f"{head}{comma}{name}" for name in _names() if name.startswith(tail)]


def complete_run(incomplete: str) -> list[str]:
    """Ids of runs that were seen last, which asks no host."""
    from fleet.control.finding import SEEN
    from fleet.inventory import find
    from fleet.workspace import Workspace

    try:
        kept = Workspace.beside(find(Path.cwd())).cache.get("runs", SEEN)
    except HydraError:
        return []
    return [run for run in json.loads(kept or b"[]") if run.startswith(incomplete)]


def _names() -> list[str]:
    from fleet.inventory import find, load

    try:
        inventory = load(find(Path.cwd()))
    except HydraError:
        return []
    return sorted([*inventory.instances, *inventory.groups])


TargetArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="TARGET", help="An instance, a group, or several names with commas.", autocompletion=complete_target
    ),
]
AllOption = Annotated[bool, typer.Option("--all", help="All instances.")]
RunOption = Annotated[
    str | None,
    typer.Option("--run", metavar="ID", help="A run id or a unique beginning of one.", autocompletion=complete_run),
]
