"""What `train` and `resume` print: where every setting comes from, what changes, and what was started."""

from __future__ import annotations

import threading
from typing import NoReturn

import typer

from fleet.cli.ending import Ended
from fleet.cli.envelope import envelope
from fleet.cli.options import Invocation
from fleet.cli.output import complain, finish, remark, table, write
from fleet.cli.screen import Screen
from fleet.control.following import runs_to_read
from fleet.control.launching import Started
from fleet.control.overriding import Change
from fleet.control.rehearsing import TrainPlan
from fleet.control.report import Report
from fleet.control.session import Session
from fleet.inventory.profiles import Setting
from fleet.logs import Filter
from hydra.manifest.flow import flow


def show_settings(invocation: Invocation, settings: tuple[Setting, ...]) -> None:
    """The settings that somebody else than the manifest's defaults decided."""
    if settings:
        table(invocation, ("setting", "value", "from"), [(row.name, row.text, row.origin) for row in settings])


def show_changes(invocation: Invocation, changes: tuple[Change, ...]) -> None:
    """In what a resumed run differs from the stored one."""
    if changes:
        rows = [(row.name, flow(row.was), flow(row.becomes)) for row in changes]
        table(invocation, ("setting", "was", "becomes"), rows)


def show_plans(invocation: Invocation, report: Report[TrainPlan]) -> None:
    """What would be started."""
    for name, row in report.rows.items():
        for number, step in enumerate(row.steps, 1):
            size = f" ({step.files} files, {step.bytes:,} bytes)" if step.files else ""
            write(f"{name}: {number}. {step.what}{size}")
        show_settings(invocation, row.settings)
        for notice in row.notices:
            remark(invocation, f"{name}: {notice}")


def show_started(invocation: Invocation, report: Report[Started]) -> None:
    """What was started, and how to look at it."""
    for name, row in report.rows.items():
        show_settings(invocation, row.settings)
        show_changes(invocation, row.changes)
        begins = "resumed" if row.attempt > 1 else "started"
        at = f" from step {row.resumed_from}" if row.resumed_from is not None else ""
        write(f"{name}: {begins} {row.run} (attempt {row.attempt}){at} on {', '.join(row.hosts)}: {row.state}")
        for warning in row.warnings:
            remark(invocation, f"{name}: {warning}")
        remark(invocation, f"follow it: fleet logs {name} -f --run {row.run}")


def finish_started(
    invocation: Invocation, session: Session, command: str, report: Report[Started], *, follow: bool
) -> NoReturn:
    """Print what was started, follow its log to the end if that was asked, and end the process."""
    if not follow or report.errors:
        finish(invocation, command, report, lambda: show_started(invocation, report))
    if invocation.json:
        typer.echo(envelope(command, report.rows, report.errors, report.warnings))
    else:
        show_started(invocation, report)
    complain(invocation, report)
    begins = {host: row.log_from for row in report.rows.values() for host in row.hosts}
    runs = {host: row.run for row in report.rows.values() for host in row.hosts}
    screen = Screen(invocation, session.redactor, Filter(), prefixed=len(runs) > 1)
    found = {host: runs_to_read(session, [host], run).only() for host, run in runs.items()}
    screen.follow(session, {host: (row, begins[host]) for host, row in found.items()}, threading.Event())
    raise Ended(screen.code(runs))
