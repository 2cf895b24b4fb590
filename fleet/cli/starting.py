"""What `train` and `resume` print: where every setting comes from, and what was started."""

from __future__ import annotations

import threading

from fleet.cli.logs import Screen
from fleet.cli.options import Invocation
from fleet.cli.output import remark, table, write
from fleet.control.following import Wanted, last, runs_to_read
from fleet.control.launching import Started
from fleet.control.planning import Plan
from fleet.control.report import Report
from fleet.control.session import Session
from fleet.inventory.profiles import Setting
from fleet.logs import Filter


def show_settings(invocation: Invocation, settings: tuple[Setting, ...]) -> None:
    """The settings that somebody else than the manifest's defaults decided."""
    if settings:
        table(invocation, ("setting", "value", "from"), [(row.name, row.text, row.origin) for row in settings])


def show_plans(invocation: Invocation, report: Report[Plan]) -> None:
    """What would be started."""
    for name, row in report.rows.items():
        devices = ", ".join(f"{gpu.index} {gpu.name}" for gpu in row.choice.devices) or "the CPU"
        write(f"{name}: {row.chosen.name} from {row.chosen.manifest} on {devices}, {row.nproc} process(es)")
        write(f"{name}: trainer {' '.join(row.argv)}")
        show_settings(invocation, row.settings)
        for notice in row.choice.notices:
            remark(invocation, f"{name}: {notice}")


def show_started(invocation: Invocation, report: Report[Started]) -> None:
    """What was started, and how to look at it."""
    for name, row in report.rows.items():
        show_settings(invocation, row.settings)
        begins = "resumed" if row.attempt > 1 else "started"
        at = f" from step {row.resumed_from}" if row.resumed_from is not None else ""
        write(f"{name}: {begins} {row.run} (attempt {row.attempt}){at} on {', '.join(row.hosts)}: {row.state}")
        for warning in row.warnings:
            remark(invocation, f"{name}: {warning}")
        remark(invocation, f"follow it: fleet logs {name} -f --run {row.run}")


def follow_started(invocation: Invocation, session: Session, report: Report[Started]) -> int:
    """Follow the logs of what was started from their beginning; returns the exit code of `fleet logs -f`."""
    hosts = [host for row in report.rows.values() for host in row.hosts]
    runs = {host: row.run for row in report.rows.values() for host in row.hosts}
    found = {host: runs_to_read(session, [host], runs[host])[host] for host in hosts}
    screen = Screen(invocation, Filter(), raw=False, prefixed=len(hosts) > 1)
    cursors = {}
    for host, one in found.items():
        before = last(session, one, Wanted(lines=1000))
        for line in before.lines:
            screen.show(host, line)
        cursors[host] = (one, before.cursor)
    return screen.follow(session, cursors, threading.Event(), until_end=True)
