"""`fleet prune`."""

from __future__ import annotations

from typing import Annotated

import typer

from fleet.cli.confirming import confirmed
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, remark, write
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.releases import prune_listed, prune_plan


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    everywhere: AllOption = False,
    keep: Annotated[
        int | None, typer.Option(min=1, help="Releases and environments kept; fleet.json's if absent.")
    ] = None,
) -> None:
    """Remove old releases, environments, temporary folders and old logs of ended runs.

    Lists them first and asks. Never checkpoints, never what is current, previous or used by a live run.
    """
    invocation: Invocation = ctx.obj
    with opened(invocation) as session:
        names = session.names(target, everything=everywhere, purpose="deploy")
        listed = prune_plan(session, names, keep)

        def show() -> None:
            for name, row in listed.rows.items():
                for item in row.items:
                    write(f"{name}: {item.kind} {item.name} ({item.bytes / (1 << 20):.1f} MiB)")
                for kept in row.kept:
                    remark(invocation, f"{name}: {kept.kind} {kept.name} stays: {kept.why}")
                if not row.items:
                    write(f"{name}: nothing to remove")

        if invocation.dry_run or not any(row.items for row in listed.rows.values()):
            finish(invocation, "prune-plan" if invocation.dry_run else "prune", listed, show)
        if not invocation.json:
            show()
        count = sum(len(row.items) for row in listed.rows.values())
        confirmed(invocation, f"remove these {count}?", f"fleet prune {target or '--all'} --yes")
        report = prune_listed(session, listed, keep)

        def show_removed() -> None:
            for name, row in report.rows.items():
                write(f"{name}: removed {len(row.items)}")

        finish(invocation, "prune", report, show_removed)
