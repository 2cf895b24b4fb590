"""Continuing a run: everything comes from its stored record, nothing is guessed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any, Final

from fleet.control.admission import admit_resume
from fleet.control.experiment import parsed
from fleet.control.finding import Found
from fleet.control.launching import LIMIT, Started, confirm, prepared
from fleet.control.overriding import Change, changes, named
from fleet.control.runs import Stored, newest_unfinished, stored_on
from fleet.control.secrets import send_secrets
from fleet.control.session import Session
from fleet.errors import Busy, Usage
from fleet.inventory.profiles import Setting
from fleet.ssh import Deadline, retried
from hydra.manifest.flow import flow

#: Fields of the stored launch that a resume repeats.
_KEPT: Final = (
    *("schema", "run", "name", "deploy_dir", "release", "environment", "python", "argv", "env", "secrets", "gpus"),
    *("nproc", "max_restarts", "waits", "grace", "confirm_seconds"),
)
#: Seconds that hashing a checkpoint may take on the host.
_VERIFY: Final = 400.0


@dataclass(frozen=True, slots=True)
class ResumeOptions:
    """What the user said about a resume."""

    run: str | None = None
    """A run id or its beginning; absent: the newest run that is not completed."""
    step: int | None = None
    """The checkpoint; absent: the newest that verifies."""
    current: bool = False
    """Whether to take the current release instead of the run's own."""
    arguments: tuple[str, ...] = ()
    """Settings that shall differ from the stored ones."""
    force: bool = False
    allow_busy: bool = False


@dataclass(frozen=True)
class Resumption:
    """A resume, decided and not begun."""

    found: Found
    stored: Stored
    request: dict[str, Any]
    step: int | None
    changes: tuple[Change, ...]
    torn: tuple[str, ...] = ()
    """What is said of newer checkpoints that do not verify."""

    @property
    def gpus(self) -> tuple[int, ...]:
        """Indices of the devices that the run was started on."""
        return tuple(int(gpu["index"]) for gpu in self.request.get("gpus") or ())

    def to_json(self) -> dict[str, Any]:
        """The plan for programs."""
        return {
            "run": self.found.id,
            "attempt": self.request["attempt"],
            "resumed_from": self.step,
            "settings": [{"name": row.name, "value": row.value, "from": row.origin} for row in self.settings],
            "changes": self.changes,
            "argv": self.request["resume_argv"],
        }

    @property
    def log_end(self) -> int:
        """Where the log of the attempts before ends."""
        return int(self.found.facts.get("log_offset") or 0)

    @property
    def settings(self) -> tuple[Setting, ...]:
        """The settings as the run's record has them, and what changes now."""
        changed = {change.name for change in self.changes}
        rows = [(row["name"], row["value"], str(row["from"])) for row in self.stored.record.get("settings") or ()]
        kept = [Setting(name, value, origin, "manifest", flow(value)) for name, value, origin in rows]
        return (*(row for row in kept if row.name not in changed), *(_changed(change) for change in self.changes))


def _changed(change: Change) -> Setting:
    origin = f"command line (the run had {flow(change.was)})"
    return Setting(change.name, change.becomes, origin, "command line", flow(change.becomes))


def plan_resume(
    session: Session, name: str, options: ResumeOptions, deadline: Deadline, *, in_group: bool = False
) -> Resumption:
    """Decide a resume from the run's record, its checkpoints and the overrides.

    Raises NotFound, Busy for a live run, Unverified for a step that does not verify, Usage for an override that
    changes the model's shape.
    """
    found = newest_unfinished(session, name, options.run, deadline)
    if found.live:
        raise Busy(
            f"run {found.id} on {name} is {found.state}",
            why="two supervisors of one run would overwrite each other's checkpoints",
            fix="stop it first, or follow it",
            example=f"fleet logs {name} -f --run {found.id}",
            host=name,
        )
    stored = stored_on(session, found, deadline)
    if (stored.launch.get("group") is not None) != in_group:
        raise Usage(
            f"run {found.id} was started on {'one host' if in_group else 'several hosts'}",
            why="it continues on the same hosts, all together",
            fix="name what it was started on",
            example=f"fleet resume {name if in_group else _group_of(session, stored)} --run {found.id}",
            host=name,
        )
    overrides = parsed(options.arguments, "resume").overrides
    different = changes(name, found.id, stored.manifest, overrides)
    step, torn = _verified(session, name, found, options.step, deadline)
    # Without a step that was asked for, the trainer looks itself: it passes over the same torn ones, and records them.
    place = "{run_dir}" if options.step is None else f"{{run_dir}}@{step}"
    argv = ["trainer.py", "--resume", place, *named(different)]
    for override in overrides:
        argv += ["--set", override]
    attempt = int(found.facts.get("attempt") or 1) + 1
    # The mark tells this resume from one that somebody else asks for at the same moment.
    resumed = {
        "attempt": attempt,
        "from": step,
        "changes": [asdict(change) for change in different],
        "mark": secrets.token_hex(8),
    }
    kept: dict[str, Any] = {field: stored.launch[field] for field in _KEPT if field in stored.launch}
    request = {
        **kept,
        # A run that was started on what was current then goes on with that, whatever is current now.
        "release": kept.get("release") or found.facts.get("release"),
        "attempt": attempt,
        "resume": True,
        "resume_argv": argv,
        "restart_argv": ["trainer.py", "--resume", "{run_dir}"],
        "record": {**stored.record, "resumed": [*stored.record.get("resumed", ()), resumed]},
    }
    return Resumption(found, stored, request, step, different, torn)


def _group_of(session: Session, stored: Stored) -> str:
    """The group of fleet.json that a run was started on; its hosts, if there is none with them any more."""
    hosts = tuple(str(node["name"]) for node in stored.launch["group"]["nodes"])
    groups = session.inventory.groups.values()
    return next((group.name for group in groups if group.members == hosts), ",".join(hosts))


def resume(session: Session, name: str, options: ResumeOptions, on_progress: Callable[[str], None]) -> Started:
    """Continue a run on its host with the same id and the next attempt."""
    deadline = session.deadline(LIMIT)
    planned = retried(lambda: plan_resume(session, name, options, deadline), deadline=deadline)
    warnings = retried(lambda: admit_resume(session, name, planned.gpus, options, deadline), deadline=deadline)
    request = dict(planned.request)
    if options.current:
        release, ready = prepared(session, name, True, deadline, on_progress)
        request |= {"release": release, "environment": ready.environment, "python": ready.python}
    elif request.get("secrets"):
        send_secrets(session, name, deadline)
    answer = session.agent(name, deadline).call("start", request, deadline=deadline)
    started = confirm(
        name,
        answer,
        gpus=tuple(str(gpu.get("uuid")) for gpu in request.get("gpus") or ()),
        settings=planned.settings,
        release=request.get("release"),
        environment=request.get("environment"),
        resumed_from=planned.step,
    )
    lost = session.record("resume", [name], f"resumed {started.run}", on_hosts=[name], plan=request)
    return replace(
        started, changes=planned.changes, log_from=planned.log_end, warnings=(*planned.torn, *warnings, *lost)
    )


def _verified(
    session: Session, name: str, found: Found, step: int | None, deadline: Deadline
) -> tuple[int | None, tuple[str, ...]]:
    """The step to continue from, None if the run has no checkpoint and begins anew; and newer ones that are torn."""
    request: dict[str, Any] = {"deploy_dir": session.instance(name).deploy_dir, "run": found.id}
    if step is not None:
        request["step"] = step
    answer = session.agent(name, deadline).call("verify", request, deadline=deadline.sooner(_VERIFY))
    torn = [f"checkpoint {row['step']} is passed over: {', '.join(row['problems'])}" for row in answer["rejected"]]
    return answer["step"], tuple(torn)
