"""`fleet train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, remark
from fleet.cli.starting import finish_started, show_plans
from fleet.cli.targets import TargetArgument
from fleet.control.planning import TrainOptions


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    manifest: Annotated[
        Path | None,
        typer.Argument(metavar="MANIFEST", help="Manifest of this project; manifests/default.yaml if absent."),
    ] = None,
    name: Annotated[str | None, typer.Option(metavar="N", help="Name of the run; the manifest's if absent.")] = None,
    gpus: Annotated[str | None, typer.Option(metavar="LIST", help="Indices of the devices, 0,1 for example.")] = None,
    nproc: Annotated[int | None, typer.Option(min=1, help="Processes; one a device if absent.")] = None,
    max_restarts: Annotated[int, typer.Option(min=0, help="Restarts in any hour.")] = 3,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Then follow the log until the run ends.")] = False,
    no_deploy: Annotated[bool, typer.Option("--no-deploy", help="Use the release that is current there.")] = False,
    allow_busy: Annotated[
        bool, typer.Option("--allow-busy", help="Accept processes of others on the devices.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Start although health says failure. Breaks no lock.")] = False,
) -> None:
    """Start a run on a host, one each on several hosts (a,b), or one on a whole group.

    Arguments of the trainer follow --: fleet train lab-a manifests/1b.yaml -- --set training.steps=50. Code and
    environment are brought up to date first. "Started" means that the supervisor runs and the trainer has said
    something, or has lived for 10 seconds.
    """
    from fleet.control.rehearsing import plan_all
    from fleet.control.training import train_all

    invocation: Invocation = ctx.obj
    options = TrainOptions(
        manifest=manifest,
        name=name,
        gpus=_indices(gpus),
        nproc=nproc,
        max_restarts=max_restarts,
        deploy=not no_deploy,
        allow_busy=allow_busy,
        force=force,
        arguments=invocation.rest,
    )
    with opened(invocation) as session:
        targets = session.targets(target, purpose="train")
        if invocation.dry_run:
            planned = plan_all(session, targets, options)
            finish(invocation, "train-plan", planned, lambda: show_plans(invocation, planned))
        report = train_all(session, targets, options, lambda text: remark(invocation, text))
        finish_started(invocation, session, "train", report, follow=follow)


def _indices(text: str | None) -> tuple[int, ...] | None:
    if text is None or text == "all":
        return None
    parts = text.split(",")
    if not all(part.isdigit() for part in parts):
        raise typer.BadParameter("give indices with commas, for example 0,1", param_hint="--gpus")
    return tuple(int(part) for part in parts)
