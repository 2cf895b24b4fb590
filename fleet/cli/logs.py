"""`fleet logs`."""

from __future__ import annotations

import json
import re
import sys
import threading
from typing import Annotated

import typer

from fleet.cli.ending import Ended
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import remark
from fleet.cli.targets import RunOption, TargetArgument
from fleet.control.finding import Found
from fleet.control.following import Wanted, following, last, runs_to_read
from fleet.control.session import Session
from fleet.errors import RemoteFailed, Usage
from fleet.logs import Ended as RunEnded
from fleet.logs import Failed, Filter, Gap, Line, LostRun, Printer, Vanished, message, parse_since, records_of, to_json


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    run: RunOption = None,
    lines: Annotated[int, typer.Option("-n", metavar="N", min=0, help="Lines to begin with.")] = 50,
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
    completed or was stopped, else 8.
    """
    invocation: Invocation = ctx.obj
    chosen = Filter(rank, _pattern(grep))
    wanted = Wanted(lines, None if since is None else parse_since(since), rank, grep)
    with opened(invocation) as session:
        names = session.names(target)
        if cached:
            if run is None:
                raise Usage(
                    "--cached without --run",
                    why="the host is not asked, so it cannot say which run is the newest",
                    fix="name the run",
                    example="fleet logs lab-a --run small-lm-20260131-235959-k3qz --cached",
                )
            screen = Screen(invocation, chosen, raw, prefixed=len(names) > 1)
            for name in names:
                for record in records_of(session.logs.read(name, run)):
                    screen.show(name, record)
            raise Ended(0)
        found = runs_to_read(session, names, run)
        if invocation.dry_run:
            raise Usage(
                "--dry-run has no meaning for logs",
                why="reading changes nothing",
                fix="leave it out",
                example="fleet logs lab-a",
            )
        screen = Screen(invocation, chosen, raw, prefixed=len(found) > 1)
        cursors = {name: (row, _begin(session, row, wanted, screen)) for name, row in found.items()}
        exact = wanted.since is not None and wanted.since.cursor is not None
        code = screen.follow(session, cursors, threading.Event(), until_end=follow) if follow or exact else 0
    raise Ended(code)


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


class Screen:
    """Prints records: lines on stdout, everything else on stderr."""

    def __init__(self, invocation: Invocation, chosen: Filter, raw: bool, *, prefixed: bool) -> None:
        self.invocation, self._filter = invocation, chosen
        raw = raw or not sys.stdout.isatty()
        self._printer = Printer(_write, raw=raw, prefixed=prefixed)
        self._codes: dict[str, int] = {}

    def show(self, name: str, record: object) -> None:
        """One record of a host."""
        if isinstance(record, Line):
            if self._filter.takes(record.frame):
                if self.invocation.json:
                    _write(json.dumps(to_json(record, name)).encode() + b"\n")
                else:
                    self._printer.line(record.frame, name)
            return
        if isinstance(record, Failed):
            typer.echo(f"{type(record.error).__name__}: {record.error}", err=True)
            self._codes[name] = record.error.exit_code
            return
        said = message(record)  # type: ignore[arg-type]
        if said is not None:
            remark(self.invocation, f"{name}: {said}")
        if isinstance(record, RunEnded):
            self._codes[name] = 0 if record.state in ("completed", "stopped") else RemoteFailed.exit_code
        elif isinstance(record, LostRun | Vanished | Gap):
            self._codes[name] = RemoteFailed.exit_code
        if self.invocation.json and isinstance(record, RunEnded | LostRun | Vanished):
            state = record.state if isinstance(record, RunEnded) else type(record).__name__.lower()
            _write(json.dumps({"host": name, "ended": state}).encode() + b"\n")

    def follow(
        self, session: Session, cursors: dict[str, tuple[Found, int]], stop: threading.Event, *, until_end: bool
    ) -> int:
        """Follow runs to their ends and return the exit code; without `until_end`, only to where the log is now."""
        ends = {} if until_end else {name: _end(session, found) for name, (found, _) in cursors.items()}
        cursors = {name: row for name, row in cursors.items() if until_end or row[1] < ends[name]}
        ends = {name: end for name, end in ends.items() if name in cursors}
        try:
            for name, record in following(session, cursors, stop):
                self.show(name, record)
                cursor = getattr(record, "cursor", None)
                if cursor is not None and name in ends and cursor >= ends[name]:
                    ends.pop(name)
                if not until_end and not ends:
                    break
        finally:
            stop.set()
            self._printer.finish()
        return max(self._codes.values(), default=0)


def _end(session: Session, found: Found) -> int:
    return last(session, found, Wanted(lines=0)).cursor


def _write(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()
