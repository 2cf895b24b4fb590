"""Continuing a run: everything comes from its stored record, nothing is guessed."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from fleet.control.admission import admit_resume
from fleet.control.experiment import parsed
from fleet.control.finding import Found
from fleet.control.groups import group_part, network
from fleet.control.launching import LIMIT, Started, confirm, prepared
from fleet.control.runs import Stored, newest_unfinished, stored_on
from fleet.control.secrets import send_secrets
from fleet.control.session import Session
from fleet.errors import Busy, Usage
from fleet.inventory import Group
from fleet.ssh import Deadline

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
    changes: tuple[tuple[str, Any, str], ...]
    """Setting, stored value, new value."""

    @property
    def gpus(self) -> tuple[int, ...]:
        """Indices of the devices that the run was started on."""
        return tuple(int(gpu["index"]) for gpu in self.request.get("gpus") or ())


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
            f"run {found.id} was started on {'a group of hosts' if not in_group else 'one host'}",
            why="it continues on the same hosts, all together",
            fix="name what it was started on",
            example=f"fleet resume {'pair' if not in_group else name} --run {found.id}",
            host=name,
        )
    arguments = parsed(options.arguments)
    changes = _changes(stored, arguments.overrides)
    step = _verified(session, name, found, options.step, deadline)
    argv = ["trainer.py", "--resume", "{run_dir}" if step is None else f"{{run_dir}}@{step}"]
    for path, _, _ in changes:
        argv += ["--changed", path]
    for path in arguments.changed:
        argv += ["--changed", path]
    for override in arguments.overrides:
        argv += ["--set", override]
    kept: dict[str, Any] = {field: stored.launch[field] for field in _KEPT if field in stored.launch}
    request = {
        **kept,
        "attempt": int(found.facts.get("attempt") or 1) + 1,
        "resume": True,
        "resume_argv": argv,
        "restart_argv": ["trainer.py", "--resume", "{run_dir}"],
        "record": {**stored.record, "resumed": {"from": step, "changes": [list(change) for change in changes]}},
    }
    return Resumption(found, stored, request, step, changes)


def resume(session: Session, name: str, options: ResumeOptions, on_progress: Callable[[str], None]) -> Started:
    """Continue a run on its host with the same id and the next attempt."""
    deadline = session.deadline(LIMIT)
    planned = plan_resume(session, name, options, deadline)
    admit_resume(session, name, planned.gpus, options, deadline)
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
        settings=(),
        release=request.get("release"),
        environment=request.get("environment"),
        resumed_from=planned.step,
    )
    session.record("resume", [name], f"resumed {started.run}", on_hosts=[name])
    return started


def _verified(session: Session, name: str, found: Found, step: int | None, deadline: Deadline) -> int | None:
    """The step to continue from; None if the run has no checkpoint and begins anew."""
    request: dict[str, Any] = {"deploy_dir": session.instance(name).deploy_dir, "run": found.id}
    if step is not None:
        request["step"] = step
    answer = session.agent(name, deadline).call("verify", request, deadline=deadline.sooner(_VERIFY))
    found_step: int | None = answer["step"]
    return found_step


def _changes(stored: Stored, overrides: tuple[str, ...]) -> tuple[tuple[str, Any, str], ...]:
    settings = (stored.manifest or {}).get("manifest") or {}
    changes = []
    for override in overrides:
        path, _, value = override.partition("=")
        if path.split(".")[0] in ("model", "tokenizer"):
            raise Usage(
                f"--set {override}: a resumed run keeps its {path.split('.')[0]}",
                why="the stored weights have the old shape",
                fix="start a new run with it",
                example=f"fleet train {stored.host} -- --set {override}",
                host=stored.host,
            )
        before: Any = settings
        for part in path.split("."):
            before = before.get(part) if isinstance(before, dict) else None
        changes.append((path, before, value))
    return tuple(changes)


def resume_group(session: Session, group: Group, options: ResumeOptions, on_progress: Callable[[str], None]) -> Started:
    """Continue a run on all members of a group, from the newest step that verifies where checkpoints are."""
    deadline = session.deadline(LIMIT)
    # The master has metrics and checkpoints, so it says which run is meant and where it goes on.
    lead = plan_resume(session, group.master, options, deadline, in_group=True)
    same = replace(options, run=lead.found.id)
    nodes = network(session, group)
    token = secrets.token_hex(32)
    attempt = int(lead.request["attempt"])

    def start(name: str, end: Deadline) -> dict[str, Any]:
        planned = (
            lead if name == group.master else plan_resume(session, name, replace(same, step=None), end, in_group=True)
        )
        admit_resume(session, name, planned.gpus, options, end)
        request = {**planned.request, "attempt": attempt, "resume_argv": lead.request["resume_argv"]}
        request["group"] = group_part(group, nodes, name, token)
        if options.current:
            release, ready = prepared(session, name, True, end, on_progress)
            request |= {"release": release, "environment": ready.environment, "python": ready.python}
        elif request.get("secrets"):
            send_secrets(session, name, end)
        return session.agent(name, end).call("start", request, deadline=end)

    report = session.each(group.members, start, LIMIT)
    if report.errors:
        raise report.errors[0]
    rows = [
        confirm(
            name,
            answer,
            gpus=(),
            settings=(),
            release=lead.request.get("release"),
            environment=lead.request.get("environment"),
            resumed_from=lead.step,
        )
        for name, answer in report.rows.items()
    ]
    session.record("resume", group.members, f"resumed {rows[0].run} on {group.name}", on_hosts=group.members)
    return replace(next(row for row in rows if row.hosts == (group.master,)), hosts=tuple(group.members))
