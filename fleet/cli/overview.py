"""`fleet` without a command: all hosts and their live runs."""

from __future__ import annotations

import sys
import time

import typer

from fleet.cli.ending import Ended
from fleet.cli.envelope import envelope
from fleet.cli.hosts import show_hosts
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.status import code
from fleet.control.status import status
from fleet.health import HostReport


def command(ctx: typer.Context, watch: float | None) -> None:
    """Show all hosts; with `watch`, again every so many seconds until it is interrupted."""
    invocation: Invocation = ctx.obj
    before: dict[str, HostReport] = {}
    with opened(invocation) as session:
        names = session.names(None, everything=True)
        while True:
            report = status(session, names, before=before)
            before = report.rows
            if invocation.json:
                typer.echo(envelope("overview", {"hosts": list(report.rows.values())}, report.errors))
            else:
                if watch is not None:
                    typer.echo("\033[2J\033[H" if sys.stdout.isatty() else "", nl=False)
                    typer.echo(time.strftime("%Y-%m-%d %H:%M:%S"))
                show_hosts(invocation, report)
            if watch is None:
                raise Ended(code(report))
            time.sleep(watch)
