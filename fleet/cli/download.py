"""`fleet download`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fleet.cli.opening import opened
from fleet.cli.options import Invocation
from fleet.cli.output import finish, remark, write
from fleet.cli.progress import Transfer
from fleet.cli.targets import RunOption, TargetArgument
from fleet.control.downloads import DownloadOptions, fetch, plan_fetch
from fleet.control.report import Report
from fleet.download import Listing
from fleet.errors import Usage


def command(
    ctx: typer.Context,
    target: TargetArgument = None,
    run: RunOption = None,
    to: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder; runs/<run-id> of the project if absent.")
    ] = None,
    include: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Only files that match.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(metavar="GLOB", help="No files that match.")] = None,
    checkpoint: Annotated[str, typer.Option(metavar="WHICH", help="latest, best, a step, all or none.")] = "latest",
) -> None:
    """Fetch a run's files: the newest or live run, unless --run names one.

    Every file is compared with its SHA-256 before it gets its name. An interrupted download goes on where it stopped;
    files that are here and equal are not sent again.
    """
    invocation: Invocation = ctx.obj
    options = DownloadOptions(run, to, tuple(include or ()), tuple(exclude or ()), checkpoint)
    with opened(invocation) as session:
        # A run of a group has its files on the host of rank 0, which is the first member.
        whole = session.names(target)
        names = whole[:1] if target in session.inventory.groups else whole
        if len(names) > 1:
            raise Usage(
                f"{len(names)} hosts to download from",
                why="a run of several hosts has its metrics and checkpoints on the first of them",
                fix="name one host",
                example=f"fleet download {names[0]}",
            )
        if invocation.dry_run:
            folder, listing = plan_fetch(session, names[0], options)

            def show_plan() -> None:
                for file in listing.files:
                    write(f"{file.path} ({file.size:,} bytes)")
                write(f"{len(listing.files)} files, {listing.size:,} bytes, to {folder}")

            finish(invocation, "download-plan", Report({names[0]: _plan(folder, listing)}), show_plan)
        with Transfer(invocation, "receiving") as transfer:
            fetched = fetch(
                session, names[0], options, lambda progress: transfer.update(names[0], progress.done, progress.total)
            )
        outcome = fetched.outcome

        def show() -> None:
            steps = f", checkpoints {', '.join(map(str, outcome.steps))}" if outcome.steps else ""
            write(
                f"{fetched.run}: {outcome.files} files verified in {fetched.path} ({outcome.bytes_received:,} bytes "
                f"received, {outcome.bytes_reused:,} were here, {outcome.seconds:.1f} s){steps}"
            )
            for skipped in outcome.skipped:
                remark(invocation, f"left out: {skipped.path}: {skipped.why}")

        finish(invocation, "download", Report({names[0]: fetched}), show)


def _plan(folder: Path, listing: Listing) -> dict[str, Any]:
    files = [{"path": file.path, "size": file.size, "sha256": file.sha256} for file in listing.files]
    facts = {"run": listing.run, "path": folder, "bytes": listing.size, "steps": listing.steps}
    return {**facts, "files": files, "skipped": listing.skipped}
