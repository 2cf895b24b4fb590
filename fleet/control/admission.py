"""Whether a run may start on a host: its health and the quick preflight. Only what is known to be wrong blocks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fleet.control.planning import Plan, TrainOptions
from fleet.control.session import Session
from fleet.errors import Blocked
from fleet.health import Check, Finding, HostReport, blocking, preflight, probe
from fleet.ssh import Deadline

if TYPE_CHECKING:
    from fleet.control.resuming import ResumeOptions


def admit(
    session: Session, name: str, report: HostReport, planned: Plan, options: TrainOptions, deadline: Deadline
) -> tuple[str, ...]:
    """Return warnings, or raise Blocked with evidence and remedies."""
    gpus = tuple(gpu.index for gpu in planned.choice.devices)
    return _admit(session, name, report, gpus, options.allow_busy, options.force, deadline)


def admit_resume(session: Session, name: str, options: ResumeOptions, deadline: Deadline) -> tuple[str, ...]:
    """The same for a run that is continued on the devices of its record."""
    report = probe(session.transport(name, deadline), session.instance(name).deploy_dir, detail=True, deadline=deadline)
    return _admit(session, name, report, None, options.allow_busy, options.force, deadline)


def _admit(
    session: Session, name: str, report: HostReport, gpus: tuple[int, ...] | None, allow_busy: bool, force: bool,
    deadline: Deadline,
) -> tuple[str, ...]:  # fmt: skip
    instance = session.instance(name)
    checks = preflight(
        session.transport(name, deadline),
        instance.deploy_dir,
        quick=True,
        deadline=deadline,
        need_gib=instance.limits.min_free_gib,
        python=session.python(name),
        gpus=gpus,
        allow_busy=allow_busy,
    )
    bad: list[Check | Finding] = [*blocking(report.health), *(check for check in checks if check.status == "fail")]
    if bad and not force:
        raise _blocked(name, bad)
    warned = [check for check in checks if check.status == "warn"]
    return tuple(f"{one.id}: {one.evidence}" for one in [*bad, *warned])


def _blocked(name: str, bad: list[Check | Finding]) -> Blocked:
    remedies = [one.fix for one in bad if isinstance(one, Check) and one.fix]
    return Blocked(
        f"{name} is not fit to start a run: " + "; ".join(f"{one.id}: {one.evidence}" for one in bad),
        why="a run there would fail, or give results that cannot be trusted",
        fix="; ".join(remedies) or "see to the host, or start anyway with --force",
        example=f"fleet doctor {name}",
        host=name,
    )
