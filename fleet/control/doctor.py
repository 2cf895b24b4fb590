"""The whole preflight of hosts: reach, host, survival, GPUs, environment, and the network of a group."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from fleet.control.group_network import network
from fleet.control.groups import check_alike
from fleet.control.report import Report
from fleet.control.session import Session
from fleet.control.status import known_gpus, limits_of
from fleet.environment import check as check_environment
from fleet.errors import Blocked, FleetError, NotFound, RemoteFailed, Unverified
from fleet.health import Check, preflight, probe, transfer_rate
from fleet.inventory import Group
from fleet.release import verify
from fleet.ssh import Deadline

#: Seconds for one host.
LIMIT: Final = 180.0
_SLOW_LINK: Final = 1.0
"""MiB/s below which a link is called slow: a checkpoint of a gigabyte takes a quarter of an hour on it."""


def doctor(
    session: Session, names: Sequence[str], *, quick: bool = False, group: Group | None = None
) -> Report[tuple[Check, ...]]:
    """Check hosts; with a group also whether its members are alike, and the network between them. A host that cannot
    be reached is a failed check and an error.
    """
    report = session.each(names, lambda name, deadline: _host(session, name, quick, deadline), LIMIT, repeat=True)
    rows = {name: checks for name, (checks, _) in report.rows.items()}
    for error in report.errors:
        host = str(error.host)
        rows[host] = (Check(f"reach.{error.kind}", host, "fail", error.what, f"{error.fix}; {error.example}"),)
    if group is not None and not report.errors:
        alike = _alike(group, {name: report.rows[name][1] for name in group.members})
        rows[group.master] = (*rows[group.master], alike, *_group(session, group))
    return Report({name: rows[name] for name in names}, report.errors)


def _host(session: Session, name: str, quick: bool, deadline: Deadline) -> tuple[tuple[Check, ...], dict[str, object]]:
    """The checks of one host, and what must be equal on all hosts of a group."""
    begun = time.monotonic()
    transport = session.transport(name, deadline)
    seconds = time.monotonic() - begun
    checks = [Check("reach.login", name, "ok", f"name, TCP, host key and login in {1000 * seconds:.0f} ms")]
    deploy_dir = session.instance(name).deploy_dir
    checks += preflight(
        transport,
        deploy_dir,
        quick=quick,
        deadline=deadline,
        python=session.python(name),
        known_gpus=known_gpus(session).get(name, ()),
        limits=limits_of(session, name),
    )
    report = probe(transport, deploy_dir, detail=not quick, deadline=deadline)
    if report.rtt_ms is not None:
        checks.append(Check("reach.rtt", name, "ok", f"{report.rtt_ms:.1f} ms for a round trip"))
    if not quick:
        rates = transfer_rate(transport, deadline=deadline)
        slow = min(rates.up, rates.down) < _SLOW_LINK
        evidence = f"{rates.up:.1f} MiB/s up, {rates.down:.1f} MiB/s down"
        fix = "downloads of checkpoints will take long" if slow else ""
        checks.append(Check("reach.rate", name, "warn" if slow else "ok", evidence, fix))
    if not quick and report.release is not None:
        checks.append(_release(session, name, report.release, deadline))
    for environment in report.environments:
        for finding in check_environment(transport, deploy_dir, environment, deadline=deadline):
            checks.append(Check(finding.id, name, finding.status, finding.evidence, finding.fix))
    # Where torch is may differ; which torch it is may not.
    torch = sorted(check.evidence.partition(" in ")[0] for check in checks if check.id == "torch")
    gpus = ", ".join(str(gpu.name) for gpu in report.gpus) or "none"
    return tuple(checks), {"release": report.release, "torch": "; ".join(torch), "GPUs": gpus}


def _release(session: Session, name: str, release: str, deadline: Deadline) -> Check:
    """Whether what the next run would be started from is what was deployed."""
    transport, deploy_dir = session.transport(name, deadline), session.instance(name).deploy_dir
    try:
        names = verify(transport, deploy_dir, release, deadline=deadline, python=session.python(name))
    except (Unverified, NotFound) as error:
        return Check("release", name, "fail", error.what, f"{error.example}: {error.fix}")
    except RemoteFailed as error:
        return Check("release", name, "warn", error.what, f"{error.fix}; {error.example}")
    return Check("release", name, "ok", f"{release}: each of its {names} files is what was deployed")


def _alike(group: Group, facts: Mapping[str, Mapping[str, object]]) -> Check:
    try:
        check_alike(group, facts)
    except Blocked as error:
        return Check("group.alike", group.master, "fail", error.what, f"{error.fix}; {error.example}")
    return Check("group.alike", group.master, "ok", f"the same {', '.join(next(iter(facts.values())))} on all members")


def _group(session: Session, group: Group) -> list[Check]:
    try:
        nodes = network(session, group)
    except FleetError as error:
        host = error.host or group.master
        return [Check("group.network", host, "fail", error.what, f"{error.fix}; {error.example}")]
    return [
        Check(
            "group.network",
            node.name,
            "ok" if node.warning is None else "warn",
            node.warning
            or f"{node.address} on {node.interface or 'an unknown interface'}, look-ups in {node.lookup_s:.2f} s",
            "" if node.warning is None else "add the peers to /etc/hosts, and name the interface in fleet.json",
        )
        for node in nodes
    ]
