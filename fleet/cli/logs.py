"""`fleet logs`."""

from __future__ import annotations

import re
import threading
from collections import deque
from typing import Annotated

import typer

from fleet.cli.ending import Ended
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import complain, remark
from fleet.cli.screen import Screen
from fleet.cli.targets import AllOption, RunOption, TargetArgument
from fleet.control.finding import Found
from fleet.control.following import Wanted, last, runs_to_read
from fleet.control.session import Session
from fleet.errors import Usage
from fleet.logs import Filter, Line, parse_since, records_of


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    everywhere: AllOption = False,
    run: RunOption = None,
    lines: Annotated[int, typer.Option("-n", metavar="N", min=0, max=999_999, help="Lines to begin with.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="CURSOR|10m", help="Begin at a cursor of --json, or so long ago.")
    ] = None,
    rank: Annotated[int | None, typer.Option(min=0, help="Only this rank.")] = None,
    grep: Annotated[str | None, typer.Option(metavar="RE", help="Only lines that match.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Pass escape sequences on to the terminal.")] = False,
    cached: Annotated[bool, typer.Option("--cached", help="What was followed before, from this side.")] = False,
) -> None:
    """Show or follow the log of a run: the live one, else the newest, unless --run names one.

    --follow survives lost connections without losing or repeating a line and ends with the run: exit code 0 if it
    completed or was stopped, else 8. --cached asks no host: it shows what was followed before.
    """
    invocation: Invocation = ctx.obj
    chosen = Filter(rank, _pattern(grep))
    wanted = Wanted(lines, None if since is None else parse_since(since), rank, grep)
    with opened(invocation) as session:
        names = session.names(target, everything=everywhere)
        if cached:
            screen = Screen(invocation, session.redactor, chosen, raw=raw, prefixed=len(names) > 1)
            for name in names:
                _show_kept(session, name, _named(run, follow=follow), wanted, screen)
            raise Ended(0)
        found = runs_to_read(session, names, run)
        screen = Screen(invocation, session.redactor, chosen, raw=raw, prefixed=len(found.rows) > 1)
        complain(invocation, found, screen.fail)
        cursors = {name: (row, _begin(session, row, wanted, screen)) for name, row in found.rows.items()}
        exact = wanted.since is not None and wanted.since.cursor is not None
        if follow or exact:
            screen.follow(session, cursors, threading.Event(), until_now=not follow)
    raise Ended(screen.code(found.rows))


def _begin(session: Session, found: Found, wanted: Wanted, screen: Screen) -> int:
    """Print what comes before following, and return where that begins."""
    if wanted.since is not None and wanted.since.cursor is not None:
        return wanted.since.cursor
    before = last(session, found, wanted)
    for line in before.lines:
        screen.show(found.host, line)
    if not before.complete:
        remark(screen.invocation, f"{found.host}: the search took too long; older lines may be missing")
    return before.cursor


def _named(run: str | None, *, follow: bool) -> str:
    """The run whose kept log is wanted. Raises Usage where only the host could answer."""
    what = "--cached with --follow" if follow else "--cached without --run"
    why = "the host is not asked, so nothing new comes" if follow else "the host is not asked which run is the newest"
    if run is not None and not follow:
        return run
    raise Usage(
        what, why=why, fix="leave --follow out" if follow else "name the run",
        example="fleet logs lab-a --run small-lm-20260131-235959-k3qz --cached",
    )  # fmt: skip


def _show_kept(session: Session, name: str, run: str, wanted: Wanted, screen: Screen) -> None:
    since = wanted.since
    if since is not None and since.cursor is None:
        raise Usage(
            f"--cached with --since {since.seconds:.0f}s",
            why="ages are measured by the host's clock, and the host is not asked",
            fix="give a cursor, or a number of lines with -n",
            example=f"fleet logs {name} --run {run} --cached -n 200",
        )
    begin = 0 if since is None or since.cursor is None else since.cursor
    records = (record for record in records_of(session.logs.read(name, run, begin)) if _behind(record, begin))
    kept = (record for record in records if not isinstance(record, Line) or screen.takes(record))
    found = list(kept) if since is not None else deque(kept, maxlen=wanted.lines)
    for record in found:
        screen.show(name, record)
    if not found:
        remark(screen.invocation, f"{name}: nothing of run {run} was followed before")


def _behind(record: object, cursor: int) -> bool:
    """Whether a record ends behind a position: a kept piece may begin before it."""
    place = getattr(record, "cursor", None)
    return place is None or place > cursor


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        raise Usage(
            f"--grep {text!r} is no regular expression: {error}",
            why="lines are searched with it",
            fix="escape its special characters",
            example=r"--grep 'loss \d+'",
        ) from error
