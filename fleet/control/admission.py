"""Whether a run may start on a host: its health and the quick preflight. Only what is known to be wrong blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fleet.control.planning import Plan, TrainOptions
from fleet.control.session import Session
from fleet.control.status import known_gpus, limits_of
from fleet.errors import Blocked
from fleet.health import Check, preflight
from fleet.ssh import Deadline

if TYPE_CHECKING:
    from fleet.control.resuming import ResumeOptions


def admit(session: Session, name: str, planned: Plan, options: TrainOptions, deadline: Deadline) -> tuple[str, ...]:
    """Return warnings, or raise Blocked with evidence and remedies."""
    gpus = tuple(gpu.index for gpu in planned.choice.devices)
    return _admit(session, name, gpus, options.allow_busy, options.force, deadline)


def admit_resume(
    session: Session, name: str, gpus: Sequence[int], options: ResumeOptions, deadline: Deadline
) -> tuple[str, ...]:
    """The same for a run that is continued on the devices of its record."""
    return _admit(session, name, gpus, options.allow_busy, options.force, deadline)


def _admit(
    session: Session, name: str, gpus: Sequence[int], allow_busy: bool, force: bool, deadline: Deadline
) -> tuple[str, ...]:
    checks = preflight(
        session.transport(name, deadline),
        session.instance(name).deploy_dir,
        quick=True,
        deadline=deadline,
        python=session.python(name),
        gpus=gpus,
        known_gpus=known_gpus(session).get(name, ()),
        allow_busy=allow_busy,
        limits=limits_of(session, name),
    )
    bad = [check for check in checks if check.status == "fail"]
    if bad and not force:
        raise _blocked(name, bad)
    return tuple(f"{check.id}: {check.evidence}" for check in checks if check.status != "ok")


def _blocked(name: str, bad: Sequence[Check]) -> Blocked:
    remedies = [check.fix for check in bad if check.fix]
    return Blocked(
        f"{name} is not fit to start a run: " + "; ".join(f"{one.id}: {one.evidence}" for one in bad),
        why="a run there would fail, or give results that cannot be trusted",
        fix="; ".join(remedies) or "see to the host, or start anyway with --force",
        example=f"fleet doctor {name}",
        host=name,
    )
