"""The options that every command takes, before or after its name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from fleet.redaction import Redactor


@dataclass(frozen=True, slots=True)
class Invocation:
    """The global options of one call."""

    config: Path | None = None
    """The inventory; absent: `fleet.json`, looked for upwards from the working directory."""
    json: bool = False
    dry_run: bool = False
    yes: bool = False
    quiet: bool = False
    verbose: int = 0
    color: bool = True
    timeout: float | None = None
    """Seconds for the whole command; absent: each step has its own limit."""
    jobs: int = 32
    """Hosts worked on at once."""
    rest: tuple[str, ...] = ()
    """What followed `--`: a remote command or arguments of the trainer, never interpreted here."""
    argv: tuple[str, ...] = ("fleet",)
    """The command line as it was given, for the audit logs."""
    redactor: Redactor = field(default_factory=Redactor, compare=False)
    """Takes secrets out of all that is printed; the session teaches it those of fleet.json."""


_FLAGS: Final = frozenset({"--json", "--dry-run", "--yes", "--quiet", "--verbose", "--no-color"})
_SHORT: Final = re.compile(r"-[yqv]+")
_VALUES: Final = frozenset({"--config", "--timeout", "--jobs"})


def split(arguments: Sequence[str]) -> tuple[list[str], tuple[str, ...]]:
    """Our own arguments, with the global options moved before the command, and what follows `--`."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    front: list[str] = []
    others: list[str] = []
    position = 0
    while position < end:
        argument = arguments[position]
        if argument in _VALUES and position + 1 < end:
            front += arguments[position : position + 2]
            position += 1
        elif argument in _FLAGS or _SHORT.fullmatch(argument) or argument.partition("=")[0] in _VALUES:
            front.append(argument)
        else:
            others.append(argument)
        position += 1
    return [*front, *others], tuple(arguments[end + 1 :])
