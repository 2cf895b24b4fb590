"""`fleet runs`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, table, write
from fleet.cli.quantities import duration
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.report import Report
from fleet.control.runs import difference, row_of, runs, stored

_HEADS = ("host", "run", "state", "attempt", "step", "loss", "checkpoint", "duration", "why")


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    everywhere: AllOption = False,
    state: Annotated[str | None, typer.Option(metavar="S", help="Only runs in this state.")] = None,
    show: Annotated[str | None, typer.Option(metavar="ID", help="The reproducibility record of one run.")] = None,
    diff: Annotated[
        tuple[str, str] | None, typer.Option(metavar="A B", help="In which settings two runs differ.")
    ] = None,
) -> None:
    """All runs, newest first: state, step, last loss, checkpoint, duration, and why they ended."""
    invocation: Invocation = ctx.obj
    with opened(invocation) as session:
        names = session.names(target, everything=everywhere or target is None)
        if show is not None:
            found = stored(session, names, show)
            more = {"record": found.record, "launch": found.launch, "manifest": found.manifest}
            record = Report({found.host: found.facts | more})
            finish(invocation, "runs-show", record, lambda: write(json.dumps(record.rows[found.host], indent=2)))
        if diff is not None:
            changes = difference(stored(session, names, diff[0]), stored(session, names, diff[1]))
            rows = [(name, _text(one), _text(two)) for name, (one, two) in changes.items()]
            finish(
                invocation,
                "runs-diff",
                Report({"diff": rows}),
                lambda: table(invocation, ("setting", *diff), rows),
                data={"diff": [{"name": name, "a": one, "b": two} for name, (one, two) in changes.items()]},
            )
        report = runs(session, names, state)
        data = {"runs": [row_of(found) for row in report.rows.values() for found in row]}
        finish(invocation, "runs", report, lambda: table(invocation, _HEADS, _cells(data["runs"])), data=data)


def _cells(rows: list[dict[str, Any]]) -> list[tuple[str, ...]]:
    return [
        (
            row["host"],
            row["id"],
            row["state"],
            _text(row["attempt"]),
            _text(row["step"]),
            row["loss"] if isinstance(row["loss"], str) else "" if row["loss"] is None else f"{row['loss']:.4g}",
            _text(row["checkpoint"]),
            duration(row["duration"]),
            row["reason"] or "",
        )
        for row in rows
    ]


def _text(value: Any) -> str:
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)
