"""Fetching a run's files, verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fleet.control.finding import LIMIT, WHOLE, default_run, pick, runs_of
from fleet.control.following import asker, connector
from fleet.control.session import Session
from fleet.download import Downloaded, Listing, Progress, download, list_run

#: Seconds for a download in all; one that stands still ends long before.
_LIMIT: Final = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class DownloadOptions:
    """What the user wants of a run."""

    run: str | None = None
    to: Path | None = None
    """Folder; absent: `runs/<run-id>` of the project."""
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    checkpoint: str = "latest"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A run that is here now."""

    run: str
    path: Path
    outcome: Downloaded


def fetch(session: Session, name: str, options: DownloadOptions, on_progress: Callable[[Progress], None]) -> Fetched:
    """Bring a run from a host. Raises NotFound with the list of runs, Unverified, and what a download can raise."""
    run, to = _place(session, name, options)
    outcome = download(
        connector(session, name),
        asker(session, name),
        session.instance(name).deploy_dir,
        run,
        to,
        deadline=session.deadline(_LIMIT),
        include=options.include,
        exclude=options.exclude,
        checkpoint=options.checkpoint,
        python=session.python(name),
        on_progress=on_progress,
    )
    session.record("download", [name], f"{run}: {outcome.files} files verified in {to}")
    return Fetched(run, to, outcome)


def plan_fetch(session: Session, name: str, options: DownloadOptions) -> tuple[Path, Listing]:
    """What would be brought and where to; nothing is written."""
    run, to = _place(session, name, options)
    listing = list_run(
        asker(session, name),
        session.instance(name).deploy_dir,
        run,
        include=options.include,
        exclude=options.exclude,
        checkpoint=options.checkpoint,
    )
    return to, listing


def _place(session: Session, name: str, options: DownloadOptions) -> tuple[str, Path]:
    deadline = session.deadline(LIMIT)
    if options.run is None:
        run = default_run(session, name, None, deadline).id
    elif WHOLE.fullmatch(options.run):
        # A whole id needs no search: the listing tells whether there is such a run, and which there are.
        run = options.run
    else:
        run = pick(name, runs_of(session, name, deadline), options.run).id
    return run, (options.to or session.root / "runs" / run).resolve()
