"""Starting one run on one host: from a plan to a supervisor that says that it lives."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from fleet.control.admission import admit
from fleet.control.deploying import DeployOptions, TreeOnce, deploy_tree
from fleet.control.overriding import Change
from fleet.control.planning import Plan, TrainOptions, plan
from fleet.control.secrets import SET, send_secrets
from fleet.control.session import Session
from fleet.control.setting_up import setup_on
from fleet.environment import Ready
from fleet.errors import RemoteFailed
from fleet.health import HostReport, probe
from fleet.inventory import Group, Instance
from fleet.inventory.profiles import Setting
from fleet.inventory.values import inherited
from fleet.ssh import Deadline, retried
from hydra.runs import RunId

#: Seconds for a start in all: code, environment and the first lines of the trainer.
LIMIT: Final = 4 * 3600.0
#: Seconds after which a trainer that lives but says nothing counts as started.
CONFIRM: Final = 10.0
_NOTHING: Final[Callable[[str], None]] = lambda _: None  # noqa: E731


@dataclass(frozen=True)
class Started:
    """A run whose supervisor reported that it runs."""

    run: str
    attempt: int
    hosts: tuple[str, ...]
    gpus: tuple[str, ...]
    settings: tuple[Setting, ...]
    resumed_from: int | None
    state: str
    confirmed: str | None
    """`line`: the trainer said something; `alive`: it lived for 10 s without a word; None: it had ended already."""
    release: str | None = None
    environment: str | None = None
    changes: tuple[Change, ...] = ()
    """What a resume changed."""
    log_from: int = 0
    """Where the log of this attempt begins."""
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The run for programs."""
        return {
            "run": self.run,
            "attempt": self.attempt,
            "hosts": self.hosts,
            "gpus": self.gpus,
            "settings": [{"name": row.name, "value": row.value, "from": row.origin} for row in self.settings],
            "resumed_from": self.resumed_from,
            "changes": self.changes,
            "state": self.state,
            "confirmed": self.confirmed,
            "release": self.release,
            "environment": self.environment,
            "warnings": self.warnings,
        }


def train(
    session: Session,
    name: str,
    options: TrainOptions,
    on_progress: Callable[[str], None] = _NOTHING,
    tree: TreeOnce | None = None,
) -> Started:
    """Start one run on one host. `tree` is what is deployed, if several starts share it.

    Raises what planning, preflight, deploying and setting up raise; Busy when the devices are taken; RemoteFailed with
    the last lines when the trainer died at once.
    """
    deadline = session.deadline(LIMIT)

    def decided() -> tuple[HostReport, Plan, tuple[str, ...]]:
        transport = session.transport(name, deadline)
        report = probe(transport, session.instance(name).deploy_dir, runs=5, detail=True, deadline=deadline)
        planned = plan(session, name, options, report)
        return report, planned, admit(session, name, planned, options, deadline)

    report, planned, warnings = retried(decided, deadline=deadline)
    release, ready = retried(
        lambda: prepared(session, name, options.deploy, deadline, on_progress, tree), deadline=deadline
    )
    request = launch_request(session, planned, options, str(RunId.draw(planned.chosen.name)), release, ready, report)
    answer = session.agent(name, deadline).call("start", request, deadline=deadline)
    started = confirm(
        name,
        answer,
        gpus=tuple(gpu.uuid or str(gpu.index) for gpu in planned.choice.devices),
        settings=planned.settings,
        release=release,
        environment=ready.environment,
    )
    lost = session.record("train", [name], f"started {started.run}", on_hosts=[name], plan=request)
    return replace(started, warnings=(*planned.choice.notices, *warnings, *lost))


def prepared(
    session: Session, name: str, deploying: bool, deadline: Deadline, on_progress: Callable[[str], None],
    tree: TreeOnce | None = None,
) -> tuple[str | None, Ready]:  # fmt: skip
    """The release and the environment that a run will use, made if they are missing. No release: the current one."""
    release: str | None = None
    if deploying:
        options = DeployOptions()
        deployed = deploy_tree(session, name, tree or TreeOnce(session, options), options, deadline)
        release = deployed.release
        on_progress(f"{name}: release {release} ({deployed.action})")
    ready = setup_on(session, name, release, deadline, on_progress)
    send_secrets(session, name, deadline)
    return release, ready


def launch_request(
    session: Session, planned: Plan, options: TrainOptions, run: str, release: str | None, ready: Ready,
    report: HostReport, group: Group | None = None,
) -> dict[str, Any]:  # fmt: skip
    """What the supervisor is told."""
    instance = session.instance(planned.host)
    devices = planned.choice.devices
    return {
        "schema": 1,
        "run": run,
        "name": planned.chosen.name,
        "attempt": 1,
        "deploy_dir": instance.deploy_dir,
        "release": release,
        "environment": ready.environment,
        "python": ready.python,
        "argv": list(planned.argv),
        "resume_argv": ["trainer.py", "--resume", "{run_dir}"],
        "env": variables(instance, group),
        "secrets": SET if instance.secrets is not None and instance.secrets.allow else None,
        "gpus": [{"index": gpu.index, "uuid": gpu.uuid} for gpu in devices],
        "nproc": planned.nproc,
        "max_restarts": options.max_restarts,
        "confirm_seconds": CONFIRM,
        "record": record(planned, release, ready, report),
        **({} if options.waits is None else {"waits": list(options.waits)}),
    }


def variables(instance: Instance, group: Group | None) -> dict[str, str]:
    """The variables of a run: what an instance says itself beats its group, which beats the defaults of the file."""
    env = dict(instance.env)
    if group is not None:
        env |= {
            name: value
            for name, value in group.env.items()
            if name not in env or inherited(instance.origins[f"env.{name}"])
        }
    return env


def record(planned: Plan, release: str | None, ready: Ready, report: HostReport) -> dict[str, Any]:
    """The reproducibility record: everything that decided this run and is not in its manifest."""
    return {
        "argv": list(planned.argv),
        "settings": [{"name": row.name, "value": row.value, "from": row.origin} for row in planned.settings],
        "profile": planned.choice.profile.name,
        "host": planned.host,
        "release": release,
        "environment": {
            "id": ready.environment,
            "mode": ready.mode,
            "torch": ready.torch,
            "packages": dict(ready.packages),
        },
        "hardware": {"machine": report.machine, "gpus": [gpu.to_json() for gpu in report.gpus]},
        "controller": {"user": getpass.getuser(), "host": socket.gethostname()},
    }


def confirm(
    name: str,
    answer: dict[str, Any],
    *,
    gpus: tuple[str, ...],
    settings: tuple[Setting, ...],
    release: str | None,
    environment: str | None,
    resumed_from: int | None = None,
) -> Started:
    """Judge the supervisor's answer. Raises RemoteFailed with the last lines if the trainer is dead already."""
    if answer["state"] in ("failed", "oom", "killed", "lost"):
        lines = "\n    ".join(answer.get("lines") or ["(it printed nothing)"])
        wait = answer.get("restart_in")
        again = "" if wait is None else f"; it will be tried again in {wait:.0f} s"
        raise RemoteFailed(
            f"run {answer['run']} on {name}: {answer['state']} at once ({ending(answer.get('exit') or {})}){again}; "
            f"its last lines:\n    {lines}",
            why="the trainer ended before it could train",
            fix="read the lines above" + ("" if wait is None else ", and stop it if another try cannot help"),
            example=f"fleet {'logs' if wait is None else 'stop'} {name} --run {answer['run']}",
            host=name,
        )
    return Started(
        run=answer["run"],
        attempt=answer["attempt"],
        hosts=(name,),
        gpus=gpus,
        settings=settings,
        resumed_from=resumed_from,
        state=answer["state"],
        confirmed=answer.get("confirmed"),
        release=release,
        environment=environment,
    )


def ending(exit: dict[str, Any]) -> str:
    """An exit in a few words."""
    if exit.get("signal") is not None:
        return f"signal {exit['signal']}"
    kind = f", {exit['kind']}" if exit.get("kind") else ""
    return f"exit {exit.get('code')}{kind}"
