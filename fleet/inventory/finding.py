"""Where `fleet.json` is: named, or in the working folder or one above it."""

from __future__ import annotations

from pathlib import Path

from fleet.errors import Usage

NAME = "fleet.json"
#: Folders looked into above the one where the search begins.
LEVELS = 10


def find(start: Path, named: Path | None = None) -> Path:
    """The absolute path of the file: `named` if given, else the nearest one at `start` or above. Raises Usage."""
    if named is not None:
        path = start / named.expanduser()
        if not path.is_file():
            raise _missing(f"there is no file {path}")
        return path.absolute()
    begin = start.absolute()
    for folder in [begin, *list(begin.parents)[:LEVELS]]:
        if (folder / NAME).is_file():
            return folder / NAME
    raise _missing(f"there is no {NAME} in {begin} nor in the {LEVELS} folders above it")


def _missing(what: str) -> Usage:
    return Usage(
        what,
        why="it names the hosts, and no command has hosts of its own",
        fix="write one from the example, go to a folder below it, or name it with --config",
        example=f"fleet config example > {NAME}",
    )
