"""`fleet rollback`."""

from __future__ import annotations

from typing import Annotated

import typer

from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, table, write
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.releases import plan_rollbacks, releases_of, roll_back


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    everywhere: AllOption = False,
    to: Annotated[
        str | None, typer.Option(metavar="ID", help="The release; the one before the current if absent.")
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Only list the releases that are there.")] = False,
) -> None:
    """Make an earlier release current again, after verifying every file of it. Live runs are not touched."""
    invocation: Invocation = ctx.obj
    with opened(invocation) as session:
        names = session.names(target, everything=everywhere, purpose="deploy")
        if listing:
            listed = releases_of(session, names)

            def show_list() -> None:
                rows = [
                    (name, row.release, "current" if row.current else "", row.created or "", row.commit or "")
                    for name, found in listed.rows.items()
                    for row in found
                ]
                table(invocation, ("host", "release", "", "created", "commit"), rows)

            finish(invocation, "rollback-list", listed, show_list)
        if invocation.dry_run:
            planned = plan_rollbacks(session, names, to)

            def show_plan() -> None:
                for name, release in planned.rows.items():
                    write(f"{name}: verify {release}, then make it current")

            finish(invocation, "rollback-plan", planned, show_plan)
        report = roll_back(session, names, to)

        def show() -> None:
            for name, row in report.rows.items():
                write(f"{name}: {row.release} is current, was {row.previous}")

        finish(invocation, "rollback", report, show)
