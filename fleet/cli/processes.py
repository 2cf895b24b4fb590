"""`fleet ps`."""

from __future__ import annotations

import shlex
from typing import Any

import typer

from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, table
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.processes import processes

_HEADS = ("host", "run", "pid", "role", "rank", "gpu", "memory MiB", "command")


def command(ctx: typer.Context, target: TargetArgument = None, everywhere: AllOption = False) -> None:
    """Live processes of our runs only, by identity: rank, GPU and resident memory. Without a target, of all hosts."""
    invocation: Invocation = ctx.obj
    with opened(invocation) as session:
        report = processes(session, session.names(target, everything=everywhere or target is None))
    rows = [_cells(name, row) for name, found in report.rows.items() for row in found]
    data = {"processes": [{"host": name, **row} for name, found in report.rows.items() for row in found]}
    finish(invocation, "ps", report, lambda: table(invocation, _HEADS, rows, right=("pid", *_HEADS[4:7])), data=data)


def _cells(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    numbers = ("" if row[field] is None else str(row[field]) for field in ("rank", "gpu"))
    memory = f"{row['rss'] / (1 << 20):,.0f}"
    return (name, row["run"], str(row["pid"]), row["role"], *numbers, memory, shlex.join(row["command"]))
