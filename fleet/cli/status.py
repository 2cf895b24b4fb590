"""`fleet status`."""

from __future__ import annotations

from dataclasses import replace

import typer

from fleet.cli.ending import Ended
from fleet.cli.envelope import envelope
from fleet.cli.hosts import show_detail, show_hosts
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import complain
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.report import Report, exit_code
from fleet.control.status import environments, status
from fleet.errors import PARTLY_FAILED
from fleet.health import HostReport


def command(ctx: typer.Context, target: TargetArgument = None, everywhere: AllOption = False) -> None:
    """Hosts: state, GPUs, live runs, release, disk, health; of one host also its last runs, releases, environments and
    the processes on its GPUs that are not ours.

    Without a target, all hosts. Exit code 0 only if all of them are up.
    """
    invocation: Invocation = ctx.obj
    with opened(invocation) as session:
        names = session.names(target, everything=everywhere or target is None)
        report = status(session, names, detail=len(names) == 1)
        kept = environments(session, names[0]) if len(names) == 1 and not report.errors else Report({})
    report = replace(report, errors=(*report.errors, *kept.errors))
    if invocation.json:
        data = {"hosts": list(report.rows.values()), "environments": kept.rows}
        typer.echo(envelope("status", data, report.errors))
    else:
        show_hosts(invocation, report)
        if len(names) == 1:
            show_detail(invocation, report.rows[names[0]], kept.rows.get(names[0], ()))
            complain(invocation, kept)
    raise Ended(code(report))


def code(report: Report[HostReport]) -> int:
    """0 if all hosts are up; a degraded one answers, so it is a part that failed."""
    found = exit_code(report)
    return PARTLY_FAILED if found == 0 and any(row.state != "up" for row in report.rows.values()) else found
