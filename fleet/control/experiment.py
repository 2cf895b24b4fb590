"""What is to be trained, read on this side first: a manifest that is wrong never reaches a host."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from fleet.errors import Usage
from hydra.errors import nearest

#: The manifest of `python trainer.py` without arguments.
DEFAULT: Final = "manifests/default.yaml"


@dataclass(frozen=True, slots=True)
class Chosen:
    """One run of one manifest file of the project."""

    manifest: str
    """Path of the manifest from the project's root, with forward slashes: it is the same inside a release."""
    name: str
    """Name of the run, the first part of its id."""
    overrides: tuple[str, ...]
    """`PATH=VALUE` of the trainer arguments."""


@dataclass(frozen=True, slots=True)
class Arguments:
    """Trainer arguments, as far as this side must understand them."""

    overrides: tuple[str, ...]
    only: str | None


def parsed(arguments: Sequence[str], command: Literal["train", "resume"]) -> Arguments:
    """The settings among trainer arguments. Raises Usage for those that fleet decides itself, and for unknown ones."""
    values: dict[str, list[str]] = {"--set": [], "--only": []} if command == "train" else {"--set": []}
    rest = list(arguments)
    while rest:
        option, equals, value = rest.pop(0).partition("=")
        if option not in values:
            guess = nearest(option, values)
            raise Usage(
                f"trainer argument {option!r} cannot be used here",
                why="manifest, run directory, and what a resumed run changes are decided by fleet",
                fix=f"did you mean {guess}?" if guess else f"use {', '.join(values)}",
                example=f"fleet {command} lab-a -- --set training.steps=50",
            )
        if not equals:
            if not rest:
                raise Usage(
                    f"trainer argument {option} has no value",
                    why="it is the last one",
                    fix="give its value",
                    example="-- --set training.steps=50",
                )
            value = rest.pop(0)
        values[option].append(value)
    only = values.get("--only")
    return Arguments(tuple(values["--set"]), only[-1] if only else None)


def validate(path: Path, overrides: Sequence[str]) -> None:
    """Raise ManifestError if the manifest with these overrides is not valid."""
    from hydra.manifest import load

    load(path, overrides)


def choose_run(root: Path, manifest: Path | None, name: str | None, arguments: Arguments) -> Chosen:
    """Validate the manifest with its overrides and pick the one run that will be started.

    Raises ManifestError for a manifest that is not valid, Usage for one outside the project or with several runs.
    """
    from hydra.manifest import load
    from hydra.runs import run_name

    path = (root / DEFAULT if manifest is None else manifest).resolve()
    if not path.is_relative_to(root.resolve()):
        raise Usage(
            f"{path} is outside the project {root}",
            why="only the project's files are deployed, so the host would not have it",
            fix="put the manifest into the project",
            example=f"fleet train lab-a {DEFAULT}",
        )
    names = [run.manifest.name for run in load(path, arguments.overrides).runs]
    if arguments.only not in (*names, None) or (arguments.only is None and len(names) > 1):
        raise Usage(
            f"{path.name} describes {len(names)} runs" if arguments.only is None else f"no run {arguments.only!r}",
            why=f"its runs are {', '.join(names)}, and one command starts one",
            fix="name one of them",
            example=f"fleet train lab-a {path.name} -- --only {names[0]}",
        )
    relative = path.relative_to(root.resolve()).as_posix()
    return Chosen(relative, run_name(name or arguments.only or names[0]), arguments.overrides)
