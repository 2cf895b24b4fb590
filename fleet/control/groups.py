"""One run on several hosts: their network first, then a supervisor on each, which start together."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from fleet.control.admission import admit
from fleet.control.launching import LIMIT, Started, confirm, launch_request, prepared
from fleet.control.planning import Plan, TrainOptions, plan
from fleet.control.report import Report
from fleet.control.session import Session
from fleet.environment import Ready
from fleet.errors import Blocked, FleetError, Usage
from fleet.health import HostReport, probe
from fleet.inventory import Group
from fleet.ssh import Deadline
from fleet.ssh.configuration import effective
from hydra.runs import RunId

#: Seconds for the questions about the network.
_NETWORK: Final = 60.0
#: Seconds for which the test of the master's ports listens.
_LISTEN: Final = 8.0
#: Seconds of a look-up above which rendezvous stalls.
SLOW_LOOKUP: Final = 1.0


@dataclass(frozen=True, slots=True)
class Node:
    """One host of a group as its peers see it."""

    name: str
    address: str
    """A number: names can take half a minute to look up."""
    interface: str | None
    lookup_s: float
    """Seconds to look up a peer, the slower of both directions."""


@dataclass(frozen=True)
class Member:
    """A member of a group that is ready to start."""

    report: HostReport
    planned: Plan
    release: str | None
    ready: Ready


def train_group(session: Session, group: Group, options: TrainOptions, on_progress: Callable[[str], None]) -> Started:
    """Start one run on all members of a group.

    Raises Blocked if they do not fit together or do not reach each other, and what a start on one host raises; a start
    that fails on one ends on all, because the supervisors start together or not at all.
    """
    members = _all(
        session.each(group.members, lambda name, end: _member(session, name, options, group, end, on_progress), LIMIT)
    )
    check_alike(group, members)
    nodes = network(session, group)
    for node in nodes:
        if node.lookup_s > SLOW_LOOKUP:
            on_progress(f"{node.name}: looking up a peer takes {node.lookup_s:.1f} s; rendezvous may stall")
    run = str(RunId.draw(members[group.master].planned.chosen.name))
    token = secrets.token_hex(32)

    def start(name: str, deadline: Deadline) -> dict[str, Any]:
        member = members[name]
        request = launch_request(
            session, member.planned, options, run, member.release, member.ready, member.report, group
        )
        request["group"] = group_part(group, nodes, name, token)
        return session.agent(name, deadline).call("start", request, deadline=deadline)

    answers = _all(session.each(group.members, start, LIMIT))
    started = started_on(group, answers, members[group.master])
    session.record("train", group.members, f"started {run} on {group.name}", on_hosts=group.members)
    return started


def started_on(group: Group, answers: dict[str, dict[str, Any]], master: Member) -> Started:
    """Judge the answers of all supervisors. Raises RemoteFailed with the first failure that explains itself."""
    order = sorted(group.members, key=lambda name: answers[name]["state"] not in ("failed", "oom", "killed"))
    made = [
        confirm(
            name,
            answers[name],
            gpus=(),
            settings=master.planned.settings,
            release=master.release,
            environment=master.ready.environment,
        )
        for name in order
    ]
    first = next(row for row in made if row.hosts == (group.master,))
    return replace(first, hosts=tuple(group.members))


def group_part(group: Group, nodes: Sequence[Node], name: str, token: str) -> dict[str, Any]:
    """What a supervisor is told about its group."""
    rank = next(number for number, node in enumerate(nodes) if node.name == name)
    interface = group.interface if group.interface != "auto" else nodes[rank].interface
    return {
        "node_rank": rank,
        "nodes": [{"name": node.name, "address": node.address} for node in nodes],
        "master_address": nodes[0].address,
        "master_port": group.master_port,
        "lead_port": group.lead_port,
        "token": token,
        "interface": interface,
    }


def network(session: Session, group: Group) -> tuple[Node, ...]:
    """Addresses and interfaces of the members, with the master's two ports proved to be reachable by all others.

    Raises Blocked, naming the host, the port and the reason.
    """
    hosts = {name: effective(session.endpoints[name]).hostname for name in group.members}

    def facts(name: str, deadline: Deadline) -> dict[str, Any]:
        peer = next((hosts[other] for other in group.members if other != name), hosts[name])
        request = {"op": "facts", "own": hosts[name], "peer": peer}
        return session.agent(name, deadline).call("network", request, deadline=deadline)

    found = _all(session.each(group.members, facts, _NETWORK))
    for name, row in found.items():
        if row.get("address") is None:
            raise _unreachable(group, name, row.get("error_text") or "no route to its peers")
    nodes = tuple(
        Node(name, row["address"], row["interface"], max(row["lookup_s"], row["reverse_s"]))
        for name, row in ((name, found[name]) for name in group.members)
    )
    _check_ports(session, group, nodes[0].address)
    return nodes


def _check_ports(session: Session, group: Group, address: str) -> None:
    ports = [group.master_port, group.lead_port]

    def ask(name: str, deadline: Deadline) -> dict[str, Any]:
        op = "listen" if name == group.master else "reach"
        request = {"op": op, "address": address, "ports": ports, "seconds": _LISTEN if op == "listen" else _LISTEN - 3}
        return session.agent(name, deadline).call("network", request, deadline=deadline)

    for name, row in _all(session.each(group.members, ask, _NETWORK)).items():
        for port, reason in (row.get("refused") or {}).items():
            raise _unreachable(group, name, f"its port {port} is not free: {reason}")
        for port, outcome in (row.get("ports") or {}).items():
            if "reason" in outcome:
                raise _unreachable(group, name, f"it does not reach {address} port {port}: {outcome['reason']}")


def check_alike(group: Group, members: dict[str, Member]) -> None:
    """Raise Blocked if the members would not compute the same: release, torch, number of processes, kind of device."""
    compared: dict[str, dict[str, object]] = {
        "release": {name: member.release for name, member in members.items()},
        "torch": {name: member.ready.torch for name, member in members.items()},
        "NCCL": {name: member.ready.nccl for name, member in members.items()},
        "processes": {name: member.planned.nproc for name, member in members.items()},
        "profile": {name: member.planned.choice.profile.name for name, member in members.items()},
    }
    for what, values in compared.items():
        if len(set(values.values())) > 1:
            raise Blocked(
                f"the hosts of {group.name} differ in {what}: "
                + ", ".join(f"{name} {value}" for name, value in values.items()),
                why="ranks that compute differently train no common model, or wait for each other for ever",
                fix="bring them to the same state",
                example=f"fleet setup {group.name} --recreate",
            )


def _member(
    session: Session, name: str, options: TrainOptions, group: Group, deadline: Deadline,
    on_progress: Callable[[str], None],
) -> Member:  # fmt: skip
    transport = session.transport(name, deadline)
    report = probe(transport, session.instance(name).deploy_dir, runs=5, detail=True, deadline=deadline)
    planned = plan(session, name, options, report, group)
    for warning in admit(session, name, planned, options, deadline):
        on_progress(f"{name}: {warning}")
    release, ready = prepared(session, name, options.deploy, deadline, on_progress)
    return Member(report, planned, release, ready)


def _all(report: Report[Any]) -> dict[str, Any]:
    """The rows of all hosts. Raises the first error: a group needs every one of its hosts."""
    if report.errors:
        raise _first(report.errors)
    return report.rows


def _first(errors: Sequence[FleetError]) -> FleetError:
    return next((error for error in errors if not isinstance(error, Usage)), errors[0])


def _unreachable(group: Group, name: str, why: str) -> Blocked:
    return Blocked(
        f"{name} cannot be part of {group.name}: {why}",
        why=f"the ranks meet at the master {group.master}, ports {group.master_port} and {group.lead_port}",
        fix="open the ports between the hosts, or name other ones in fleet.json",
        example='"master_port": 29500, "lead_port": 29501',
        host=name,
    )
