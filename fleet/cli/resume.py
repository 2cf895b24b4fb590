"""`fleet resume`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from fleet.cli.ending import Ended
from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, remark, table, write
from fleet.cli.starting import follow_started, show_started
from fleet.cli.targets import RunOption, TargetArgument
from fleet.control.resuming import ResumeOptions
from fleet.control.training import plan_resumes, resume_all


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    run: RunOption = None,
    step: Annotated[int | None, typer.Option(min=0, help="This checkpoint; the newest verified one if absent.")] = None,
    release: Annotated[
        Literal["same", "current"], typer.Option(help="The run's own code, or this project's present one.")
    ] = "same",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then follow the log until the run ends.")] = False,
    allow_busy: Annotated[
        bool, typer.Option("--allow-busy", help="Accept processes of others on the devices.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Resume although health says failure. Breaks no lock.")
    ] = False,
) -> None:
    """Continue a run from its newest verified checkpoint: the newest run that is not completed, unless --run names one.

    All settings come from the stored record. What follows -- changes some, and is shown as a difference:
    fleet resume lab-a -- --set training.steps=800
    """
    invocation: Invocation = ctx.obj
    options = ResumeOptions(run, step, release == "current", invocation.rest, force, allow_busy)
    with opened(invocation) as session:
        targets = session.targets(target, purpose="resume")
        if invocation.dry_run:
            planned = plan_resumes(session, targets, options)

            def show_plan() -> None:
                for name, row in planned.rows.items():
                    at = "from the beginning" if row.step is None else f"from step {row.step}"
                    write(f"{name}: resume {row.found.id} {at}, attempt {row.request['attempt']}")
                    changes = [(path, str(old), new) for path, old, new in row.changes]
                    if changes:
                        table(invocation, ("setting", "was", "becomes"), changes)

            rows = {
                name: {
                    "run": row.found.id,
                    "step": row.step,
                    "changes": row.changes,
                    "argv": row.request["resume_argv"],
                }
                for name, row in planned.rows.items()
            }
            finish(invocation, "resume", planned, show_plan, data=rows)
        report = resume_all(session, targets, options, lambda text: remark(invocation, text))
        if follow and not report.errors:
            show_started(invocation, report)
            raise Ended(follow_started(invocation, session, report))
        finish(invocation, "resume", report, lambda: show_started(invocation, report))
