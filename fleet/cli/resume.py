"""`fleet resume`."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, remark, write
from fleet.cli.starting import finish_started, show_changes, show_settings
from fleet.cli.targets import RunOption, TargetArgument
from fleet.control.rehearsing import plan_resumes
from fleet.control.resuming import ResumeOptions
from fleet.control.training import resume_all


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    run: RunOption = None,
    step: Annotated[
        int | None, typer.Option(min=0, max=10**18, help="This checkpoint; the newest verified one if absent.")
    ] = None,
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
                    show_settings(invocation, row.settings)
                    show_changes(invocation, row.changes)

            finish(invocation, "resume-plan", planned, show_plan)
        report = resume_all(session, targets, options, lambda text: remark(invocation, text))
        finish_started(invocation, session, "resume", report, follow=follow)
