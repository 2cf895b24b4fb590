"""`fleet doctor`."""

from __future__ import annotations

from typing import Annotated

import typer

from fleet.cli.ending import Ended
from fleet.cli.envelope import envelope
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import table, write
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.doctor import doctor
from fleet.control.report import exit_code
from fleet.errors import Blocked, Usage
from fleet.inventory import Group, Inventory

_HEADS = ("host", "check", "", "evidence")


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    everywhere: AllOption = False,
    quick: Annotated[bool, typer.Option("--quick", help="Only what every start checks.")] = False,
    group: Annotated[str | None, typer.Option(metavar="G", help="Also the network between this group's hosts.")] = None,
) -> None:
    """Check that hosts are fit to train: reach, tools, disk, survival of logout, GPUs, environment, network of a group.

    Every finding that is not ok comes with its remedy. Exit code 11 if something would block a start.
    """
    invocation: Invocation = ctx.obj
    with opened(invocation) as session:
        given = target if target is not None else group
        targets = session.targets(given, purpose="train", everything=everywhere or given is None)
        named = targets if group is None else session.targets(group, purpose="train")
        unit = next((one for one in named.units if isinstance(one, Group)), None)
        if group is not None and unit is None:
            raise _no_group(group, session.inventory)
        names = list(dict.fromkeys(one.name for one in (*targets.instances, *named.instances)))
        report = doctor(session, names, quick=quick, group=unit)
    checks = [check for row in report.rows.values() for check in row]
    if invocation.json:
        typer.echo(envelope("doctor", {"checks": checks}, report.errors))
    else:
        table(invocation, _HEADS, [(check.host, check.id, check.status, check.evidence) for check in checks])
        for check in checks:
            if check.status != "ok" and check.fix:
                write(f"{check.host} {check.id}: {check.fix}")
    blocked = any(check.status == "fail" for check in checks)
    raise Ended(exit_code(report) or (Blocked.exit_code if blocked else 0))


def _no_group(name: str, inventory: Inventory) -> Usage:
    groups = ", ".join(inventory.groups) or "none"
    return Usage(
        f'"{name}" is no group',
        why=f"{inventory.path.name} has groups: {groups}",
        fix="name one of them, or leave --group out",
        example=f"fleet doctor --group {next(iter(inventory.groups), 'pair')}",
    )
