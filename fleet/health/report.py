"""One look at a host: one exec, one answer, judged. What `fleet`, `fleet status` and the dashboard show."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from fleet.errors import AuthenticationFailed, FleetError, HostKeyRefused, RemoteFailed
from fleet.health.finding import Finding, worst
from fleet.health.gpus import FEW, FIELDS, Gpu, read_gpus, remarks
from fleet.health.host import Disk, Memory, Release, read_host
from fleet.health.rules import (
    LIMITS,
    Limits,
    clock_findings,
    gpu_findings,
    host_findings,
    run_findings,
    smi_findings,
)
from fleet.health.runs import HostClock, RunSummary, read_runs
from fleet.health.scripts import SMI_SECONDS, probe_script
from fleet.health.sections import last_words, parse
from fleet.health.timing import timing
from fleet.health.values import printable, rounded
from fleet.health.xid import xid_findings
from fleet.ssh import Deadline, Result, Transport

HostState = Literal["up", "degraded", "untrusted", "denied", "offline"]


@dataclass(frozen=True, slots=True)
class HostReport:
    """A host as it is now. `offline`, `denied` and `untrusted` hosts have a reason and nothing else."""

    name: str
    state: HostState
    """`degraded`: it answers, but something forbids to start runs there, or the answer is not whole."""
    reason: str = ""
    """Why it is not `up`; never empty then."""
    rtt_ms: float | None = None
    """Time of the one round trip that this took, without what the host worked meanwhile."""
    gpus: tuple[Gpu, ...] = ()
    runs: tuple[RunSummary, ...] = ()
    release: str | None = None
    releases: tuple[Release, ...] = ()
    """Those that lie there, newest first; only when details were asked for."""
    environments: tuple[str, ...] = ()
    """Ids of those that are ready."""
    disk: Disk | None = None
    memory: Memory | None = None
    health: tuple[Finding, ...] = ()
    load: tuple[float, ...] = ()
    uptime: float | None = None
    """Seconds."""
    boot_id: str | None = None
    machine: str | None = None
    clock_offset: float | None = None
    """Seconds that its clock is ahead of ours."""

    @property
    def uuids(self) -> tuple[str, ...]:
        """The GPUs that are there, to be kept as the last good inventory while the host is healthy."""
        return tuple(gpu.uuid for gpu in self.gpus)

    def to_json(self) -> dict[str, Any]:
        """The host for programs: an entry of `hosts` in `fleet status --json`."""
        return {
            "name": self.name,
            "state": self.state,
            "reason": self.reason or None,
            "rtt_ms": rounded(self.rtt_ms, 2),
            "gpus": [gpu.to_json() for gpu in self.gpus],
            "runs": [run.to_json() for run in self.runs],
            "release": self.release,
            "releases": [release.to_json() for release in self.releases],
            "env": list(self.environments),
            "disk": None if self.disk is None else self.disk.to_json(),
            "memory": None if self.memory is None else self.memory.to_json(),
            "load": list(self.load),
            "uptime_s": rounded(self.uptime),
            "machine": self.machine,
            "boot_id": self.boot_id,
            "clock_offset_s": rounded(self.clock_offset),
            "health": [finding.to_json() for finding in self.health],
        }


def probe(
    transport: Transport,
    deploy_dir: str,
    *,
    runs: int = 1,
    detail: bool = False,
    deadline: Deadline,
    known_gpus: Sequence[str] = (),
    before: HostReport | None = None,
    limits: Limits = LIMITS,
    smi_seconds: int = SMI_SECONDS,
) -> HostReport:
    """Look at a host with one exec.

    `runs` is how many of the newest runs to show beside the live ones; `detail` adds Xid errors, who the processes on
    the GPUs are, and releases. `known_gpus` are the UUIDs of the last good inventory, `before` the look before this
    one, from which throttling is counted. Raises what the transport raises; see `failed`.
    """
    cmd = probe_script(
        "probe.sh",
        deploy_dir,
        smi_seconds,
        ",".join(FIELDS),
        ",".join(FEW),
        str(runs),
        "yes" if detail else "no",
    )
    sent, begun = time.time(), time.monotonic()
    result = transport.exec(cmd, deadline=deadline)
    taken = time.monotonic() - begun
    return read_report(transport.name, result, sent, taken, known_gpus=known_gpus, before=before, limits=limits)


def read_report(
    name: str,
    result: Result,
    sent: float,
    taken: float,
    *,
    known_gpus: Sequence[str] = (),
    before: HostReport | None = None,
    limits: Limits = LIMITS,
) -> HostReport:
    """The report that an answer is, which was asked for at `sent` (Unix seconds) and came `taken` seconds later."""
    answer = parse(result.out)
    host = read_host(answer)
    gpus = _counted(read_gpus(answer), before)
    runs = read_runs(answer, HostClock(host.now, host.boot_id, host.machine))
    measured = timing(answer, host, sent, taken)
    health = (
        *smi_findings(answer, gpus, remarks(answer), known_gpus),
        *(finding for gpu in gpus for finding in gpu_findings(gpu, limits)),
        *xid_findings(answer.find("xid"), gpus, runs, host.now, host.uptime),
        *host_findings(host, limits),
        *clock_findings(measured.offset, measured.uncertainty, limits),
        *(finding for run in runs for finding in run_findings(run, limits)),
    )
    reason = _reason(answer.complete, result, health)
    return HostReport(
        name=name,
        state="degraded" if reason else "up",
        reason=reason,
        rtt_ms=measured.rtt * 1000,
        gpus=gpus,
        runs=runs,
        release=host.release,
        releases=host.releases,
        environments=host.environments,
        disk=host.disk,
        memory=host.memory,
        health=health,
        load=host.load,
        uptime=host.uptime,
        boot_id=host.boot_id,
        machine=host.machine,
        clock_offset=measured.offset,
    )


def failed(name: str, error: FleetError) -> HostReport:
    """The report of a host that could not be looked at, so that it has a row like every other."""
    match error:
        case HostKeyRefused():
            state: HostState = "untrusted"
        case AuthenticationFailed():
            state = "denied"
        case RemoteFailed():
            state = "degraded"
        case _:
            state = "offline"
    return HostReport(name, state, printable(error.what))


def _counted(gpus: Iterable[Gpu], before: HostReport | None) -> tuple[Gpu, ...]:
    """The GPUs with the number of looks in a row in which the hardware slowed them down."""
    earlier = {} if before is None else {gpu.uuid: gpu.slowdowns for gpu in before.gpus}
    return tuple(replace(gpu, slowdowns=earlier.get(gpu.uuid, 0) + 1) if gpu.slowed else gpu for gpu in gpus)


def _reason(complete: bool, result: Result, health: Sequence[Finding]) -> str:
    if not complete:
        said = printable(last_words(result.out, result.err))
        return f"the probe broke off with status {result.rc}" + (f": {said}" if said else "")
    failures = [finding.evidence for finding in health if finding.state == "failure" and finding.run is None]
    return "; ".join(failures) if worst(health) == "failure" else ""
