"""`fleet setup`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, remark, write
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.setting_up import SetupOptions, plan_setups, setup_all


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    everywhere: AllOption = False,
    python: Annotated[str | None, typer.Option(metavar="PATH", help="Interpreter to build on.")] = None,
    reuse: Annotated[bool, typer.Option("--reuse-torch", help="Use the torch that the host's Python has.")] = False,
    isolated: Annotated[bool, typer.Option("--isolated", help="Install everything anew.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Send the wheels; the host asks no index.")] = False,
    recreate: Annotated[bool, typer.Option("--recreate", help="Build it again.")] = False,
) -> None:
    """Make the Python environment of the current release on hosts. One that is ready costs one round trip.

    A host's own Python is reused with its torch where that fits; otherwise uv, if the host has it, or venv and pip
    install what the release pins.
    """
    invocation: Invocation = ctx.obj
    if reuse and isolated:
        raise typer.BadParameter("--reuse-torch and --isolated exclude each other")
    mode: Literal["auto", "reuse", "isolated"] = "reuse" if reuse else "isolated" if isolated else "auto"
    options = SetupOptions(python, mode, offline, recreate)
    with opened(invocation) as session:
        names = session.names(target, everything=everywhere, purpose="setup")
        if invocation.dry_run:
            planned = plan_setups(session, names, options)

            def show_plan() -> None:
                for name, steps in planned.rows.items():
                    for step in steps:
                        write(f"{name}: {step}")

            finish(invocation, "setup-plan", planned, show_plan)
        report = setup_all(session, names, options, lambda line: remark(invocation, line))

        def show() -> None:
            for name, row in report.rows.items():
                torch = f", torch {row.torch}" if row.torch else ""
                write(f"{name}: {row.environment} {row.action}: {row.mode}, Python {row.version}{torch}, {row.pinned}")
                for note in row.notes:
                    remark(invocation, f"{name}: {note}")

        finish(invocation, "setup", report, show)
