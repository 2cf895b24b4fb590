"""Continuing a run on all hosts of a group: from the checkpoints of the first one, with the stored settings."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from fleet.control.admission import admit_resume
from fleet.control.finding import runs_of
from fleet.control.group_network import each_member, network
from fleet.control.group_start import group_part, start_together
from fleet.control.groups import check_alike, started_on, warned
from fleet.control.launching import LIMIT, Started, prepared
from fleet.control.resuming import ResumeOptions, Resumption, plan_resume
from fleet.control.secrets import send_secrets
from fleet.control.session import Session
from fleet.errors import NotFound, Usage
from fleet.inventory import Group
from fleet.ssh import Deadline


def resume_group(session: Session, group: Group, options: ResumeOptions, on_progress: Callable[[str], None]) -> Started:
    """Continue a run on all members of a group, from the newest step that verifies where the checkpoints are.

    Everything is decided and made ready before anything is started, since the supervisors wait for each other for a
    minute only. Raises what `plan_resume` and `train_group` raise.
    """
    plans = plan_group_resume(session, group, options)
    lead = plans[group.master]

    def ready(name: str, deadline: Deadline) -> tuple[dict[str, Any], tuple[str, ...]]:
        return _ready(session, name, plans[name], options, deadline, on_progress)

    made = each_member(session, group, ready, LIMIT)
    check_alike(group, {name: {"release": request.get("release")} for name, (request, _) in made.items()})
    nodes, token = network(session, group), secrets.token_hex(32)
    requests = {
        name: {**request, "group": group_part(group, nodes, name, token)} for name, (request, _) in made.items()
    }
    answers = start_together(session, group, requests)
    started = started_on(
        group,
        answers,
        settings=lead.settings,
        release=requests[group.master].get("release"),
        environment=requests[group.master].get("environment"),
        resumed_from=lead.step,
    )
    warnings = [f"{name}: {text}" for name, (_, texts) in made.items() for text in texts]
    warnings += session.record(
        "resume", group.members, f"resumed {started.run} on {group.name}", on_hosts=group.members
    )
    told = (*warnings, *warned(nodes), *answers.warnings)
    return replace(started, changes=lead.changes, log_from=lead.log_end, warnings=told)


def plan_group_resume(session: Session, group: Group, options: ResumeOptions) -> dict[str, Resumption]:
    """Decide a resume for each member, with one attempt for all; nothing is changed."""
    deadline = session.deadline(LIMIT)
    # The master has metrics and checkpoints, so it says which run is meant and where it goes on.
    run = options.run or _newest(session, group, deadline)
    lead = plan_resume(session, group.master, replace(options, run=run), deadline, in_group=True)
    _check_members(group, lead)
    same = replace(options, run=lead.found.id, step=None)

    def member(name: str, end: Deadline) -> Resumption:
        return lead if name == group.master else plan_resume(session, name, same, end, in_group=True)

    plans: dict[str, Resumption] = each_member(session, group, member, LIMIT)
    # A node may have begun an attempt that another one did not live to see.
    attempt = max(int(planned.request["attempt"]) for planned in plans.values())
    shared = {"attempt": attempt, "resume_argv": lead.request["resume_argv"]}
    return {
        name: replace(planned, request={**planned.request, **shared}, step=lead.step) for name, planned in plans.items()
    }


def _ready(
    session: Session, name: str, planned: Resumption, options: ResumeOptions, deadline: Deadline,
    on_progress: Callable[[str], None],
) -> tuple[dict[str, Any], tuple[str, ...]]:  # fmt: skip
    """The request of a host, with its code and environment there, and warnings."""
    warnings = admit_resume(session, name, planned.gpus, options, deadline)
    request = dict(planned.request)
    if options.current:
        release, ready = prepared(session, name, True, deadline, on_progress)
        request |= {"release": release, "environment": ready.environment, "python": ready.python}
    elif request.get("secrets"):
        send_secrets(session, name, deadline)
    return request, warnings


def _newest(session: Session, group: Group, deadline: Deadline) -> str:
    """The newest run on several hosts that is not completed. Raises NotFound."""
    for found in runs_of(session, group.master, deadline):
        if found.state != "completed" and int(found.facts["nodes"] or 1) > 1:
            return found.id
    raise NotFound(
        f"{group.name} has no run to resume",
        why=f"{group.master}, its master, has no run on several hosts, or all are completed",
        fix="start one, or name the run",
        example=f"fleet train {group.name}",
        host=group.master,
    )


def _check_members(group: Group, lead: Resumption) -> None:
    """Raise Usage if the run was made on other hosts: ranks and checkpoints belong to places."""
    before = [str(node["name"]) for node in lead.stored.launch["group"]["nodes"]]
    if before != list(group.members):
        raise Usage(
            f"run {lead.found.id} was started on {', '.join(before)}, and {group.name} is {', '.join(group.members)}",
            why="each host continues with its own rank, and the first one with its checkpoints",
            fix="give the group the same members in the same order, the master first",
            example=f'"members": {before}, "master": "{before[0]}"'.replace("'", '"'),
            host=group.master,
        )
