"""Starting and resuming on whatever a command names: hosts one by one, groups as one."""

from __future__ import annotations

from collections.abc import Callable

from fleet.control.deploying import DeployOptions, TreeOnce
from fleet.control.group_resume import resume_group
from fleet.control.groups import train_group
from fleet.control.launching import LIMIT, Started, train
from fleet.control.planning import TrainOptions, chosen_run
from fleet.control.report import Report
from fleet.control.resuming import ResumeOptions, resume
from fleet.control.session import Session
from fleet.errors import FleetError, RemoteFailed
from fleet.inventory import Group, Instance, Targets


def train_all(
    session: Session, targets: Targets, options: TrainOptions, on_progress: Callable[[str], None]
) -> Report[Started]:
    """Start a run on each unit: one on every instance, and one on all hosts of a group."""
    # What is wrong with the command itself is found before any host is asked.
    chosen_run(session, options)
    tree = TreeOnce(session, DeployOptions())

    def start(unit: Instance | Group) -> Started:
        if isinstance(unit, Group):
            return train_group(session, unit, options, on_progress)
        return train(session, unit.name, options, on_progress, tree)

    return _recorded(session, "train", targets, _each_unit(session, targets, start))


def resume_all(
    session: Session, targets: Targets, options: ResumeOptions, on_progress: Callable[[str], None]
) -> Report[Started]:
    """Continue a run on each unit."""

    def start(unit: Instance | Group) -> Started:
        if isinstance(unit, Group):
            return resume_group(session, unit, options, on_progress)
        return resume(session, unit.name, options, on_progress)

    return _recorded(session, "resume", targets, _each_unit(session, targets, start))


def _recorded(session: Session, action: str, targets: Targets, report: Report[Started]) -> Report[Started]:
    """The same report, with what failed in the audit logs; what was started has written down itself."""
    warnings = list(report.warnings)
    for error in report.errors:
        # A host is told only of what may have left something there.
        on_hosts = [str(error.host)] if isinstance(error, RemoteFailed) and error.host in session.endpoints else []
        names = [one.name for one in targets.units if error.host in (None, one.name)]
        warnings += session.record(action, names or [str(error.host)], f"failed: {error.what}", on_hosts=on_hosts)
    return Report(report.rows, report.errors, tuple(warnings))


def _each_unit(session: Session, targets: Targets, start: Callable[[Instance | Group], Started]) -> Report[Started]:
    units = {unit.name: unit for unit in targets.units}
    if len(units) == 1:
        # In this thread: a group works on its hosts at once by itself.
        ((name, unit),) = units.items()
        try:
            return Report({name: start(unit)})
        except FleetError as error:
            return Report({}, (error if error.host is not None else error.on(name),))
    return session.each(list(units), lambda name, _: start(units[name]), LIMIT)
