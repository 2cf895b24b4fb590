"""`fleet stop`."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from fleet.cli.confirming import confirmed
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, write
from fleet.cli.targets import RunOption, TargetArgument
from fleet.control.finding import Found
from fleet.control.report import Report
from fleet.control.stopping import members_only, plan_stop, stop


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
        targets = session.targets(target, purpose="stop")
        names, members = [one.name for one in targets.instances], members_only(targets)
        if invocation.dry_run:
            _plan(
                invocation,
                plan_stop(session, names, run, every=every, members=members),
                "kill" if kill else f"stop, grace {grace:.0f} s",
            )
        if kill or every:
            what = "kill without saving" if kill else "stop all live runs"
            example = f"fleet stop {target}{' --all-runs' * every}{' --kill' * kill} --yes"
            confirmed(invocation, f"{what} on {', '.join(names)}?", example)
        report = stop(session, names, run, every=every, grace=grace, kill=kill, members=members)

        def show() -> None:
            for name, row in report.rows.items():
                for stopped in row:
                    write(f"{name}: {stopped.text()}")
                if not row:
                    write(f"{name}: no live run")

        finish(invocation, "stop", report, show)


def _plan(invocation: Invocation, planned: Report[tuple[Found, ...]], how: str) -> NoReturn:
    """Print which runs would be stopped, and how."""

    def show() -> None:
        for name, row in planned.rows.items():
            for found in row:
                write(f"{name}: {how} {found.id}, {found.state} at step {found.facts['step']}")
            if not row:
                write(f"{name}: no live run")

    data = {
        name: [{"run": found.id, "state": found.state, "step": found.facts["step"]} for found in row]
        for name, row in planned.rows.items()
    }
    finish(invocation, "stop-plan", planned, show, data=data)
