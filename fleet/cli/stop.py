"""`fleet stop`."""

from __future__ import annotations

from typing import Annotated

import typer

from fleet.cli.confirming import confirmed
from fleet.cli.ending import Ended
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, write
from fleet.cli.targets import RunOption, TargetArgument
from fleet.control.stopping import stop


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    run: RunOption = None,
    every: Annotated[bool, typer.Option("--all-runs", help="All live runs of the target.")] = False,
    grace: Annotated[float, typer.Option(metavar="SEC", min=0, help="Time for the trainer to save.")] = 60.0,
    kill: Annotated[bool, typer.Option("--kill", help="Do not wait for a save.")] = False,
) -> None:
    """Stop a run: its trainer finishes the step and saves, and what is left of it is killed after --grace.

    Prints the checkpoint that was saved and verified; exit code 12 if none was, or if processes survived. A run that
    has ended already is exit code 0.
    """
    invocation: Invocation = ctx.obj
    with opened(invocation) as session:
        names = [one.name for one in session.targets(target, purpose="stop").instances]
        if invocation.dry_run:
            for name in names:
                write(f"{name}: stop {run or ('all live runs' if every else 'the live run')}, grace {grace:.0f} s")
            raise Ended(0)
        if kill or every:
            what = "kill without saving" if kill else "stop all live runs"
            confirmed(invocation, f"{what} on {', '.join(names)}?")
        report = stop(session, names, run, every=every, grace=grace, kill=kill)

        def show() -> None:
            for name, row in report.rows.items():
                for stopped in row:
                    write(f"{name}: {stopped.text()}")
                if not row:
                    write(f"{name}: no live run")

        finish(invocation, "stop", report, show)
