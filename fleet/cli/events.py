"""`fleet events`."""

from __future__ import annotations

import json
import threading
from typing import Annotated, Any

import typer

from fleet.cli.ending import Ended
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import remark, visible, write
from fleet.cli.targets import RunOption, TargetArgument
from fleet.control.following import events_so_far, following_events, runs_to_read
from fleet.errors import RemoteFailed, Usage
from fleet.logs import Ended as RunEnded
from fleet.logs import Failed, LostRun, Row, Vanished, message

_LEVELS = ("info", "warning", "error")


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    run: RunOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    since: Annotated[int, typer.Option(metavar="CURSOR", min=0, help="Begin at a cursor that --json printed.")] = 0,
    kind: Annotated[
        str | None, typer.Option(metavar="K", help="Only this kind, or a whole family: checkpoint.")
    ] = None,
    level: Annotated[str, typer.Option(metavar="L", help="At least info, warning or error.")] = "info",
) -> None:
    """Show or follow the events of a run: starts, checkpoints, guards, health, its end."""
    invocation: Invocation = ctx.obj
    if level not in _LEVELS:
        raise Usage(
            f"--level {level!r} is no level",
            why=f"levels are {', '.join(_LEVELS)}",
            fix="name one of them",
            example="--level warning",
        )
    codes = [0]
    with opened(invocation) as session:
        found = runs_to_read(session, session.names(target), run)
        if not follow:
            for name, one in found.items():
                for row in events_so_far(session, one, since):
                    _show(invocation, name, row, kind, level)
            raise Ended(0)
        cursors = {name: (row, since) for name, row in found.items()}
        for name, record in following_events(session, cursors, threading.Event()):
            if isinstance(record, Row):
                _show(invocation, name, record, kind, level)
            elif isinstance(record, Failed):
                typer.echo(f"{type(record.error).__name__}: {record.error}", err=True)
                codes.append(record.error.exit_code)
            elif (said := message(record)) is not None:
                remark(invocation, f"{name}: {said}")
            if isinstance(record, LostRun | Vanished):
                codes.append(RemoteFailed.exit_code)
            elif isinstance(record, RunEnded) and record.state not in ("completed", "stopped"):
                codes.append(RemoteFailed.exit_code)
    raise Ended(max(codes))


def _show(invocation: Invocation, name: str, row: Row, kind: str | None, level: str) -> None:
    try:
        event: Any = json.loads(row.data)
    except ValueError:
        event = None
    if not isinstance(event, dict):
        remark(invocation, f"{name}: a line that is no event was passed over")
        return
    what = str(event.get("kind"))
    if kind is not None and what != kind and not what.startswith(f"{kind}."):
        return
    if _LEVELS.index(str(event.get("level", "info"))) < _LEVELS.index(level):
        return
    if invocation.json:
        write(json.dumps({"host": name, "cursor": row.cursor, **event}))
        return
    data = ", ".join(f"{key} {value}" for key, value in (event.get("data") or {}).items())
    write(visible(f"{name}  {event.get('seq')}  step {event.get('step')}  {what}  {data}"))
