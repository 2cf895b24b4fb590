"""Starting and resuming on whatever a command names: hosts one by one, groups as one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from fleet.control.groups import train_group
from fleet.control.launching import LIMIT, Started, train
from fleet.control.planning import Plan, TrainOptions, plan
from fleet.control.report import Report
from fleet.control.resuming import ResumeOptions, Resumption, plan_resume, resume, resume_group
from fleet.control.session import Session
from fleet.errors import FleetError
from fleet.health import probe
from fleet.inventory import Group, Instance, Targets
from fleet.ssh import Deadline

T = TypeVar("T")


def train_all(
    session: Session, targets: Targets, options: TrainOptions, on_progress: Callable[[str], None]
) -> Report[Started]:
    """Start a run on each unit: one on every instance, and one on all hosts of a group."""

    def start(unit: Instance | Group) -> Started:
        if isinstance(unit, Group):
            return train_group(session, unit, options, on_progress)
        return train(session, unit.name, options, on_progress)

    return _each_unit(session, targets, start)


def resume_all(
    session: Session, targets: Targets, options: ResumeOptions, on_progress: Callable[[str], None]
) -> Report[Started]:
    """Continue a run on each unit."""

    def start(unit: Instance | Group) -> Started:
        if isinstance(unit, Group):
            return resume_group(session, unit, options, on_progress)
        return resume(session, unit.name, options, on_progress)

    return _each_unit(session, targets, start)


def plan_all(session: Session, targets: Targets, options: TrainOptions) -> Report[Plan]:
    """What a start would do on every host; nothing is changed."""

    def on_host(name: str, deadline: Deadline) -> Plan:
        report = probe(
            session.transport(name, deadline), session.instance(name).deploy_dir, detail=True, deadline=deadline
        )
        group = next((unit for unit in targets.units if isinstance(unit, Group) and name in unit.members), None)
        return plan(session, name, options, report, group)

    return session.each([one.name for one in targets.instances], on_host, 120.0)


def plan_resumes(session: Session, targets: Targets, options: ResumeOptions) -> Report[Resumption]:
    """What a resume would do on every host; nothing is changed."""
    groups = {name for unit in targets.units if isinstance(unit, Group) for name in unit.members}
    return session.each(
        [one.name for one in targets.instances],
        lambda name, end: plan_resume(session, name, options, end, in_group=name in groups),
        600.0,
    )


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
