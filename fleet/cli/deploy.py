"""`fleet deploy`."""

from __future__ import annotations

import shlex
from typing import Annotated, Final

import typer

from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, remark, write
from fleet.cli.progress import Transfer
from fleet.cli.targets import AllOption, TargetArgument
from fleet.control.deploying import DeployOptions, deploy_all, plan_all

_MIB: Final = 1 << 20


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    everywhere: AllOption = False,
    ref: Annotated[str | None, typer.Option(metavar="REV", help="A commit instead of the work tree.")] = None,
    no_switch: Annotated[
        bool, typer.Option("--no-switch", help="Upload and verify, also what is current; change no `current`.")
    ] = False,
    max_size: Annotated[
        float | None, typer.Option(metavar="MIB", min=0.001, help="Size limit; fleet.json's if absent.")
    ] = None,
) -> None:
    """Send this project's code to hosts and make it current.

    What is sent: in a git work tree the tracked files and those that git does not ignore, without .fleetignore's. The
    host verifies every digest before the release becomes visible. Live runs keep theirs.
    """
    invocation: Invocation = ctx.obj
    options = DeployOptions(ref, not no_switch, None if max_size is None else int(max_size * _MIB))
    with opened(invocation) as session:
        names = session.names(target, everything=everywhere, purpose="deploy")
        if invocation.dry_run:
            planned = plan_all(session, names, options)

            def show_plan() -> None:
                for name, steps in planned.rows.items():
                    for step in steps:
                        size = f" ({step.files} files, {step.bytes:,} bytes)" if step.files else ""
                        write(f"{name}: {step.what}{size}")
                        if step.argv and invocation.verbose:
                            remark(invocation, shlex.join(step.argv))

            finish(invocation, "deploy-plan", planned, show_plan)
        with Transfer(invocation, "sending") as transfer:
            report = deploy_all(session, names, options, transfer.update)

        def show() -> None:
            for name, row in report.rows.items():
                was = f", was {row.previous}" if row.previous not in (None, row.release) else ""
                sent = f", sent {row.files_sent} files, {row.bytes_sent:,} bytes" if row.bytes_sent else ""
                reused = f", reused {row.files_reused}" if row.files_reused and row.bytes_sent else ""
                write(f"{name}: {row.release} {row.action}{was}{sent}{reused} ({row.seconds:.2f} s)")
                if row.pinned_by and row.action != "noop":
                    remark(invocation, f"{name}: live runs keep their release: {', '.join(row.pinned_by)}")

        finish(invocation, "deploy", report, show)
