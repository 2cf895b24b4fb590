"""The network of a group: each host's address and interface as its peers see them, and whether ports are open."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from typing import Any, Final

from fleet.control.finding import live_runs
from fleet.control.session import Session
from fleet.errors import Blocked, Busy, FleetError
from fleet.inventory import Group
from fleet.ssh import Deadline, fan_out
from fleet.ssh.configuration import effective

#: Seconds for one question about the network.
_LIMIT: Final = 90.0
#: Seconds for which the master listens, and for which the others try; it ends as soon as all have come.
_LISTEN, _REACH = 8.0, 5.0
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
    """Seconds to look up a peer, by its name or by its address, whichever is slower."""
    slowest: str
    """The peer whose look-up took that long."""
    others: tuple[str, ...] = ()
    """Interfaces towards some peers that are not `interface`."""

    @property
    def warning(self) -> str | None:
        """What may stall or split the run."""
        if self.lookup_s > SLOW_LOOKUP:
            return f"looking up {self.slowest} takes {self.lookup_s:.1f} s; rendezvous may stall at every peer"
        if self.others:
            return f"some peers are reached over {', '.join(self.others)} and not over {self.interface}"
        return None


def network(session: Session, group: Group) -> tuple[Node, ...]:
    """Addresses and interfaces of the members, with the master's two ports proved to be reachable by all others.

    Raises Blocked, naming the host, the port and the reason.
    """
    hosts = {name: effective(session.endpoints[name]).hostname for name in group.members}

    mark = secrets.token_hex(8)

    def asked(name: str, **question: Any) -> dict[str, Any]:
        return {"mark": mark, "name": name, "deploy_dir": session.instance(name).deploy_dir, **question}

    def own(name: str, deadline: Deadline) -> dict[str, Any]:
        others = [hosts[other] for other in group.members if other != name] or [hosts[name]]
        ports = [str(group.master_port), str(group.lead_port)] if name == group.master else []
        return _ask(session, name, asked(name, op="own", own=hosts[name], peers=others, ports=ports), deadline)

    found = each_member(session, group, own, _LIMIT)
    for name, row in found.items():
        if "taken" in row:
            _check_free(session, group, name)
        if "problem" in row:
            raise _unfit(group, name, row["problem"])
    addresses = {name: str(found[name]["address"]) for name in group.members}
    _check_distinct(group, addresses)

    def peers(name: str, deadline: Deadline) -> dict[str, Any]:
        others = [other for other in group.members if other != name]
        there = {"hosts": [hosts[other] for other in others], "addresses": [addresses[other] for other in others]}
        return _ask(session, name, asked(name, op="peers", names=others, **there), deadline)

    ways = each_member(session, group, peers, _LIMIT)
    _check_apart(session, group, {name: row["shared"] for name, row in ways.items()})
    _check_ports(session, group, addresses[group.master])
    return tuple(
        _node(
            name,
            found[name],
            {other: ways[name]["peers"][addresses[other]] for other in group.members if other != name},
        )
        for name in group.members
    )


def each_member(session: Session, group: Group, job: Any, seconds: float) -> dict[str, Any]:
    """Do the same on all members at once. Raises the first error: a group needs every one of its hosts."""
    report = session.each(group.members, job, seconds, together=True)
    if report.errors:
        raise report.errors[0]
    return report.rows


def _node(name: str, own: dict[str, Any], ways: dict[str, Any]) -> Node:
    interface = own["interface"]
    slowest = max(ways, key=lambda peer: _seconds(ways[peer]), default=name)
    others = sorted({str(way["interface"]) for way in ways.values() if way["interface"] != interface})
    return Node(name, own["address"], interface, _seconds(ways[slowest]) if ways else 0.0, slowest, tuple(others))


def _seconds(way: dict[str, Any]) -> float:
    return max(float(way["lookup_s"]), float(way["reverse_s"]))


def _check_free(session: Session, group: Group, name: str) -> None:
    """Raise Busy if a run on several hosts lives on a host, whose ports it then has."""
    for found in live_runs(session, name, session.deadline(_LIMIT)):
        if int(found.facts["nodes"] or 1) > 1:
            raise Busy(
                f"{name} is in run {found.id}, which is {found.state}",
                why=f"one run at a time meets at ports {group.master_port} and {group.lead_port} of a host",
                fix="stop it first, or follow it",
                example=f"fleet logs {group.name} -f --run {found.id}",
                host=name,
            )


def _check_distinct(group: Group, addresses: dict[str, str]) -> None:
    for name, address in addresses.items():
        twin = next((other for other in addresses if addresses[other] == address and other != name), None)
        if twin is not None:
            raise _unfit(group, name, f"it has the address {address}, and so has {twin}")


def _check_apart(session: Session, group: Group, shared: dict[str, list[str]]) -> None:
    """Raise Blocked for members whose deploy_dir is one folder: each supervisor keeps the run in its own."""
    for name, others in shared.items():
        if others:
            deploy_dir = session.instance(name).deploy_dir
            raise Blocked(
                f"{name} and {others[0]} of {group.name} share the folder {deploy_dir}",
                why="each host keeps state, log and locks of the run under its id: two would overwrite each other's",
                fix="give each a deploy_dir of its own; rank 0 has the checkpoints, and the others receive them",
                example=f'"{name}": {{"deploy_dir": "~/fleet/{name}"}}',
                host=name,
            )


def _check_ports(session: Session, group: Group, address: str) -> None:
    """The master listens, and all others come. Nobody is left there when this ends: he would disturb the run."""
    token, guests = secrets.token_hex(16), [name for name in group.members if name != group.master]
    meeting = {"address": address, "ports": [str(group.master_port), str(group.lead_port)], "token": token}
    deadline = session.deadline(_LIMIT)

    def meet(name: str) -> dict[str, Any]:
        if name == group.master:
            return _ask(session, name, {"op": "listen", "guests": guests, "seconds": _LISTEN, **meeting}, deadline)
        return _ask(session, name, {"op": "reach", "name": name, "seconds": _REACH, **meeting}, deadline)

    problem: FleetError | None = None
    there = set(group.members)
    for outcome in fan_out(group.members, meet, jobs=len(group.members), deadline=deadline):
        there.discard(outcome.name)
        problem = problem or outcome.error or _problem(group, outcome.name, address, outcome.value or {})
        if problem is not None and there == {group.master}:
            with contextlib.suppress(FleetError):
                _ask(session, group.master, {"op": "reach", "name": "", "seconds": 0, **meeting}, deadline)
    if problem is not None:
        raise problem


def _problem(group: Group, name: str, address: str, row: dict[str, Any]) -> FleetError | None:
    for port, reason in (row.get("refused") or {}).items():
        return _unfit(group, name, f"its port {port} is not free: {reason}")
    for port, visit in (row.get("ports") or {}).items():
        if "reason" in visit:
            return _unfit(group, name, f"it does not reach {address} port {port}: {visit['reason']}")
    return None


def _ask(session: Session, name: str, request: dict[str, Any], deadline: Deadline) -> dict[str, Any]:
    return session.agent(name, deadline).call("network", request, deadline=deadline)


def _unfit(group: Group, name: str, why: str) -> FleetError:
    return Blocked(
        f"{name} cannot be part of {group.name}: {why}",
        why=f"the ranks meet at the master {group.master}, ports {group.master_port} and {group.lead_port}, over IPv4",
        fix="open the ports between the hosts, or name other ones in fleet.json",
        example='"master_port": 29500, "lead_port": 29501',
        host=name,
    )
