"""Looking at hosts: state, devices, runs, health."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from fleet.control.report import Report
from fleet.control.session import Session
from fleet.errors import FleetError, RemoteFailed
from fleet.health import LIMITS, HostReport, Limits, failed, probe
from fleet.ssh import Cmd, Deadline

if TYPE_CHECKING:
    from fleet.environment import Ready

#: Seconds for one host, a hung nvidia-smi included.
LIMIT: Final = 15.0
_KIND: Final = "gpus"
_KEY: Final = "last-good"


def status(
    session: Session, names: Sequence[str], *, detail: bool = False, before: dict[str, HostReport] | None = None
) -> Report[HostReport]:
    """Look at hosts, one exec each. Every host has a row: those that could not be asked say why.

    The errors are those of hosts that could not be asked. The devices of healthy hosts are remembered, so that one
    that vanishes is noticed.
    """
    known = known_gpus(session)

    def on_host(name: str, deadline: Deadline) -> HostReport:
        return probe(
            session.transport(name, deadline),
            session.instance(name).deploy_dir,
            runs=5 if detail else 1,
            detail=detail,
            deadline=deadline,
            known_gpus=known.get(name, ()),
            before=(before or {}).get(name),
            limits=limits_of(session, name),
        )

    report = session.each(names, on_host, LIMIT, repeat=True)
    errors: dict[str, FleetError] = {str(error.host): error for error in report.errors}
    rows = {name: report.rows[name] if name in report.rows else failed(name, errors[name]) for name in names}
    _remember(session, known, report.rows)
    return Report(rows, report.errors)


def limits_of(session: Session, name: str) -> Limits:
    """The numbers by which a host is judged: how much disk should stay free is said in fleet.json."""
    return replace(LIMITS, free_gib=session.instance(name).limits.min_free_gib)


def known_gpus(session: Session) -> dict[str, list[str]]:
    """The GPUs, by UUID, that each host had when it was last looked at and healthy."""
    kept = session.workspace.cache.get(_KIND, _KEY)
    found: dict[str, list[str]] = json.loads(kept) if kept else {}
    return found


def _remember(session: Session, known: dict[str, list[str]], rows: dict[str, HostReport]) -> None:
    good = {name: list(row.uuids) for name, row in rows.items() if row.state == "up" and row.gpus}
    merged = known | good
    if merged != known:
        session.workspace.cache.put(_KIND, _KEY, json.dumps(merged).encode())


def remember_gpus(session: Session, rows: Mapping[str, Sequence[str]]) -> None:
    """From now on, these are the GPUs that hosts should have."""
    merged = known_gpus(session) | {name: list(uuids) for name, uuids in rows.items()}
    session.workspace.cache.put(_KIND, _KEY, json.dumps(merged).encode())


def environments(session: Session, name: str) -> Report[tuple[Ready, ...]]:
    """The complete environments of a host, as they were recorded when they were built."""

    def on_host(host: str, deadline: Deadline) -> tuple[Ready, ...]:
        # Imported late: a look at many hosts needs nothing of environments.
        from fleet.environment import Ready

        cmd = Cmd.script("env-records.sh", session.instance(host).deploy_dir)
        result = session.transport(host, deadline).exec(cmd, deadline=deadline)
        answer = (b"\n" + result.out).partition(b"\nbegin\n")[2]
        lines = answer.decode("utf-8", "replace").splitlines()
        try:
            return tuple(Ready.of(json.loads(line), "ready", 0.0) for line in lines)
        except (ValueError, KeyError, TypeError) as error:
            raise RemoteFailed(
                f"{host}: the record of an environment cannot be read: {error}",
                why="something else than fleet wrote it, or a disk lost a part of it",
                fix="build the environment anew",
                example=f"fleet setup {host} --recreate",
                host=host,
            ) from error

    return session.each([name], on_host, LIMIT, repeat=True)
