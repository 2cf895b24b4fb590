"""What is wrong in a `fleet.json`, place by place, and the error that tells all of it at once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from fleet.errors import Usage
from fleet.inventory.located import Located, Path, written
from hydra.errors import nearest

_SHOWN = 60


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """One mistake: its line (from 1), its place (`instances.box.port`), and what was found and expected there."""

    line: int
    place: str
    text: str


class InvalidInventory(Usage):
    """A `fleet.json` that does not mean anything certain; `faults` are all mistakes in it, in the order of lines."""

    faults: tuple[Fault, ...] = ()

    @classmethod
    def of(cls, path: FilePath, faults: Iterable[Fault]) -> InvalidInventory:
        """The error for the faults of a file."""
        listed = tuple(sorted(set(faults)))
        count = "1 mistake" if len(listed) == 1 else f"{len(listed)} mistakes"
        error = cls(
            "\n".join([f"{count} in {path}", *table(path.name, listed)]),
            why="nothing is sent to any host before the whole file is certain",
            fix="correct these places, then check the file",
            example="fleet config check",
        )
        error.faults = listed
        return error


def table(name: str, faults: Iterable[Fault]) -> list[str]:
    """`fleet.json:13  instances.h100-1.prot  unknown key; did you mean "port"?`, in columns."""
    rows = [(f"{name}:{fault.line}", fault.place, fault.text) for fault in faults]
    widths = [max((len(row[column]) for row in rows), default=0) for column in (0, 1)]
    return [f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}" for row in rows]


class Faults:
    """Collects the mistakes of one file."""

    def __init__(self, located: Located) -> None:
        self.located = located
        self.found: list[Fault] = []

    def add(self, path: Path, text: str, *, line: int | None = None) -> None:
        """A mistake at a path; its line is that of the path, or of the nearest part of it that exists."""
        self.found.append(Fault(self.located.line(path) if line is None else line, written(path) or "(top)", text))


def shown(value: Any) -> str:
    """A value as JSON, cut where it would fill the screen."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def closest(name: str, names: Iterable[str]) -> str | None:
    """The name that was meant: one that goes on like it, else the nearest spelling, else None."""
    listed = list(names)
    longer = [other for other in listed if len(name) > 2 and other.startswith(name)]
    return longer[0] if longer else nearest(name, listed)


def known(names: Iterable[str]) -> str:
    """`known: a, b`, or that there are none."""
    listed = ", ".join(sorted(names))
    return f"known: {listed}" if listed else "there are none"
