"""`fleet ps`."""

from __future__ import annotations

import shlex
from typing import Any

import typer

from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, table
from fleet.cli.quantities import gib
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.processes import processes

_HEADS = ("host", "run", "pid", "rank", "gpu", "memory GiB", "command")


def command(ctx: typer.Context, target: TargetArgument = None, everywhere: AllOption = False) -> None:
    """Live processes of our runs only, by identity: rank, GPU and resident memory. Without a target, of all hosts."""
    invocation: Invocation = ctx.obj
    with opened(invocation) as session:
        report = processes(session, session.names(target, everything=everywhere or target is None))
    rows = [_cells(name, row) for name, found in report.rows.items() for row in found]
    data = {"processes": [{"host": name, **row} for name, found in report.rows.items() for row in found]}
    finish(invocation, "ps", report, lambda: table(invocation, _HEADS, rows, right=_HEADS[2:6]), data=data)


def _cells(name: str, row: dict[str, Any]) -> tuple[str, ...]:
    gpu = row.get("gpu")
    rss = row.get("rss_bytes", row.get("rss"))
    rank = row.get("rank")
    return (
        name,
        str(row.get("run", "")),
        str(row.get("pid", "")),
        "" if rank is None else str(rank),
        "" if gpu is None else str(gpu),
        "" if rss is None else gib(int(rss)),
        shlex.join(row["command"]),
    )
