"""What `train` and `resume` would do, step by step, with nothing changed on either side."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, fields
from typing import Any, Final

from fleet.control.deploying import PLAN, DeployOptions, TreeOnce, plan_tree
from fleet.control.group_resume import plan_group_resume
from fleet.control.planning import Plan, TrainOptions, chosen_run, plan
from fleet.control.report import Report
from fleet.control.resuming import ResumeOptions, Resumption, plan_resume
from fleet.control.session import Session
from fleet.control.setting_up import current_release, plan_setup
from fleet.errors import FleetError
from fleet.health import probe
from fleet.inventory import Group, Targets
from fleet.inventory.profiles import Setting
from fleet.release import PlanStep
from fleet.ssh import Deadline

#: Seconds to say what resumes would do: checkpoints are hashed.
_VERIFY: Final = 600.0


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """A start, step by step, before anything is done."""

    run: str
    """Name of the run; its id is drawn when it starts."""
    manifest: str
    gpus: tuple[str, ...]
    nproc: int
    argv: tuple[str, ...]
    settings: tuple[Setting, ...]
    steps: tuple[PlanStep, ...]
    notices: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The plan for programs."""
        settings = [{"name": row.name, "value": row.value, "from": row.origin} for row in self.settings]
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"settings": settings}


def plan_all(session: Session, targets: Targets, options: TrainOptions) -> Report[TrainPlan]:
    """What a start would do on every host; nothing is changed."""
    chosen_run(session, options)

    tree = TreeOnce(session, DeployOptions())

    def on_host(name: str, deadline: Deadline) -> TrainPlan:
        report = probe(
            session.transport(name, deadline), session.instance(name).deploy_dir, detail=True, deadline=deadline
        )
        group = next((unit for unit in targets.units if isinstance(unit, Group) and name in unit.members), None)
        planned = plan(session, name, options, report, group)
        return TrainPlan(
            run=planned.chosen.name,
            manifest=planned.chosen.manifest,
            gpus=tuple(gpu.uuid or str(gpu.index) for gpu in planned.choice.devices),
            nproc=planned.nproc,
            argv=planned.argv,
            settings=planned.settings,
            steps=_steps(session, name, planned, options, tree, deadline),
            notices=planned.choice.notices,
        )

    return session.each([one.name for one in targets.instances], on_host, PLAN, repeat=True)


def _steps(
    session: Session, name: str, planned: Plan, options: TrainOptions, tree: TreeOnce, deadline: Deadline
) -> tuple[PlanStep, ...]:
    """Code, environment, secrets, start."""
    steps = list(plan_tree(session, name, tree, DeployOptions(), deadline)) if options.deploy else []
    arrives = any(step.files for step in steps)
    if arrives:
        # What an environment needs is read from the release on the host, and that is not there yet.
        steps.append(PlanStep(name, "make the environment that the new release needs, unless it is there"))
    else:
        release = tree.get().release if options.deploy else current_release(session, name, deadline)
        steps += [PlanStep(name, what) for what in plan_setup(session, name, release, deadline)]
    secrets = session.instance(name).secrets
    if secrets is not None and secrets.allow:
        steps.append(PlanStep(name, f"send the secrets {', '.join(secrets.allow)}"))
    devices = ", ".join(f"GPU {gpu.index} {gpu.name}" for gpu in planned.choice.devices) or "the CPU"
    what = f"reserve {devices} and start run {planned.chosen.name}, {planned.nproc} process(es)"
    return (*steps, PlanStep(name, f"{what}: {shlex.join(planned.argv)}", planned.argv))


def plan_resumes(session: Session, targets: Targets, options: ResumeOptions) -> Report[Resumption]:
    """What a resume would do on every host; nothing is changed."""
    groups = [unit for unit in targets.units if isinstance(unit, Group)]
    alone = [unit.name for unit in targets.units if not isinstance(unit, Group)]
    report = session.each(alone, lambda name, end: plan_resume(session, name, options, end), _VERIFY, repeat=True)
    rows, errors = dict(report.rows), list(report.errors)
    for group in groups:
        try:
            rows |= plan_group_resume(session, group, options)
        except FleetError as error:
            errors.append(error.on(error.host or group.name))
    return Report(rows, tuple(errors))
