"""`fleet events`."""

from __future__ import annotations

import json
import threading
from typing import Annotated, Any, get_args

import typer

from fleet.cli.ending import Ended
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import complain, remark, visible, write
from fleet.cli.screen import Screen
from fleet.cli.targets import AllOption, RunOption, TargetArgument
from fleet.control.following import following_events, runs_to_read
from fleet.errors import Usage
from fleet.logs import Filter, Row

_LEVELS = ("info", "warning", "error")


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    everywhere: AllOption = False,
    run: RunOption = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    since: Annotated[int, typer.Option(metavar="CURSOR", min=0, help="Begin at a cursor that --json printed.")] = 0,
    kind: Annotated[
        str | None, typer.Option(metavar="K", help="Only this kind, or a whole family: checkpoint.")
    ] = None,
    level: Annotated[str, typer.Option(metavar="L", help="At least info, warning or error.")] = "info",
) -> None:
    """Show or follow the events of a run: starts, checkpoints, guards, health, its end. Without a target, of all hosts.

    --follow ends with the run: exit code 0 if it completed or was stopped, else 8.
    """
    invocation: Invocation = ctx.obj
    if level not in _LEVELS:
        raise _unknown("level", level, _LEVELS, "warning")
    kind = None if kind is None else _known(kind)
    with opened(invocation) as session:
        found = runs_to_read(session, session.names(target, everything=everywhere or target is None), run)
        screen = Screen(invocation, session.redactor, Filter())
        complain(invocation, found, screen.fail)
        cursors = {name: (row, since) for name, row in found.rows.items()}
        for name, record in following_events(session, cursors, threading.Event(), until_now=not follow):
            if isinstance(record, Row):
                _show(invocation, name, record, kind, level)
            else:
                screen.show(name, record)
    raise Ended(screen.code(found.rows))


def _known(kind: str) -> str:
    """A kind of event, or a family of them: `checkpoint` and `checkpoint.` mean all that begin so. Raises Usage."""
    # Imported late: it brings the schema of events with it.
    from hydra.runs import EventKind

    wanted, kinds = kind.removesuffix("."), get_args(EventKind)
    if not any(wanted == one or one.startswith(f"{wanted}.") for one in kinds):
        raise _unknown("kind", kind, kinds, "checkpoint")
    return wanted


def _unknown(what: str, given: str, known: tuple[str, ...], example: str) -> Usage:
    return Usage(
        f"there is no {what} {given!r} of events",
        why=f"{what}s are {', '.join(known)}",
        fix="name one of them" + (", or what stands before its dot" if what == "kind" else ""),
        example=f"fleet events --{what} {example}",
    )


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
    if _LEVELS.index(_level(event)) < _LEVELS.index(level):
        return
    if invocation.json:
        write(json.dumps({"host": name, "cursor": row.cursor, **event}))
        return
    data = ", ".join(f"{key} {value}" for key, value in (event.get("data") or {}).items())
    write(visible(f"{name}  {event.get('seq')}  step {event.get('step')}  {what}  {data}").rstrip())


def _level(event: dict[str, Any]) -> str:
    """The event's level; one that this version does not know is shown rather than hidden."""
    found = event.get("level", "info")
    return str(found) if found in _LEVELS else _LEVELS[-1]
