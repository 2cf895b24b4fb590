"""One run on several hosts: each made ready, their network proved, then a supervisor on each, which start together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from fleet.control.admission import admit
from fleet.control.group_network import Node, each_member, network
from fleet.control.group_start import Answers, group_part, start_together
from fleet.control.launching import LIMIT, Started, confirm, launch_request, prepared
from fleet.control.planning import Plan, TrainOptions, plan
from fleet.control.session import Session
from fleet.environment import Ready
from fleet.errors import Blocked
from fleet.health import HostReport, probe
from fleet.inventory import Group
from fleet.inventory.profiles import Setting
from fleet.ssh import Deadline
from hydra.runs import RunId


@dataclass(frozen=True)
class Member:
    """A member of a group that is ready to start."""

    report: HostReport
    planned: Plan
    release: str | None
    ready: Ready
    warnings: tuple[str, ...]


def train_group(session: Session, group: Group, options: TrainOptions, on_progress: Callable[[str], None]) -> Started:
    """Start one run on all members of a group.

    Raises Blocked if they do not fit together or do not reach each other, and what a start on one host raises; a start
    that is refused on one ends on all, because the supervisors start together or not at all.
    """
    members: dict[str, Member] = each_member(
        session, group, lambda name, end: _member(session, name, options, group, end, on_progress), LIMIT
    )
    check_alike(group, {name: _facts(member) for name, member in members.items()})
    nodes = network(session, group)
    run, token = str(RunId.draw(members[group.master].planned.chosen.name)), secrets.token_hex(32)
    requests = {
        name: {
            **launch_request(session, member.planned, options, run, member.release, member.ready, member.report, group),
            "group": group_part(group, nodes, name, token),
        }
        for name, member in members.items()
    }
    master = members[group.master]
    answers = start_together(session, group, requests)
    started = started_on(
        group, answers, settings=master.planned.settings, release=master.release, environment=master.ready.environment
    )
    warnings = [f"{name}: {text}" for name, member in members.items() for text in member.warnings]
    warnings += session.record("train", group.members, f"started {run} on {group.name}", on_hosts=group.members)
    return replace(started, warnings=(*warnings, *warned(nodes), *answers.warnings))


def warned(nodes: tuple[Node, ...]) -> tuple[str, ...]:
    """What may stall or split a run, of each node."""
    return tuple(f"{node.name}: {node.warning}" for node in nodes if node.warning is not None)


def started_on(
    group: Group, answers: Answers, *, settings: tuple[Setting, ...], release: str | None, environment: str | None,
    resumed_from: int | None = None,
) -> Started:  # fmt: skip
    """Judge the answers of all supervisors. Raises RemoteFailed in the words of the host that failed first."""
    worst = answers.worst(group)
    told = next(name for name in group.members if name in answers.by_host)
    name = worst or told
    one = confirm(
        name,
        answers.by_host[name],
        gpus=(),
        settings=settings,
        release=release,
        environment=environment,
        resumed_from=resumed_from,
    )
    return replace(one, hosts=group.members)


def check_alike(group: Group, facts: Mapping[str, Mapping[str, object]]) -> None:
    """Raise Blocked if the members would not compute the same; `facts` are, by host, what must be equal."""
    for what in next(iter(facts.values())):
        values = {name: row[what] for name, row in facts.items()}
        if len(set(values.values())) > 1:
            raise Blocked(
                f"the hosts of {group.name} differ in {what}: "
                + ", ".join(f"{name} {value}" for name, value in values.items()),
                why="ranks that compute differently train no common model, or wait for each other for ever",
                fix="bring them to the same state",
                example=f"fleet deploy {group.name}" if what == "release" else f"fleet setup {group.name} --recreate",
            )


def _facts(member: Member) -> dict[str, object]:
    return {
        "release": member.release,
        "torch": member.ready.torch,
        "NCCL": member.ready.nccl,
        "processes": member.planned.nproc,
        "profile": member.planned.choice.profile.name,
    }


def _member(
    session: Session, name: str, options: TrainOptions, group: Group, deadline: Deadline,
    on_progress: Callable[[str], None],
) -> Member:  # fmt: skip
    transport = session.transport(name, deadline)
    report = probe(transport, session.instance(name).deploy_dir, runs=5, detail=True, deadline=deadline)
    planned = plan(session, name, options, report, group)
    warnings = (*planned.choice.notices, *admit(session, name, planned, options, deadline))
    release, ready = prepared(session, name, options.deploy, deadline, on_progress)
    # What is current now is named, so that all hosts are compared in it, and start it.
    return Member(report, planned, release or report.release, ready, warnings)
