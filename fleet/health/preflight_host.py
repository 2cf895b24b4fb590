"""Preflight: the host's tools, interpreter, disk and limits, and whether a run outlives the login that started it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from fleet.health.check import Check, Status
from fleet.health.finding import Finding
from fleet.health.host import Disk, Host
from fleet.health.rules import Limits, host_findings
from fleet.health.sections import Answer
from fleet.health.values import count, printable

_GIB: Final = 1 << 30
#: What happens where a tool is missing, and whether that is good enough.
TOOLS: Final[dict[str, tuple[Status, str, str]]] = {
    "tar": ("fail", "nothing takes its place", "install tar"),
    "flock": ("warn", "locks are taken by Python, and a status judges runs by their heartbeat", "install util-linux"),
    "sha256sum": ("warn", "digests are computed by Python", "install coreutils"),
    "setsid": ("ok", "the supervisor makes a session of its own by itself", ""),
    "timeout": ("ok", "probes keep their own time", ""),
    "stat": ("warn", "a status shows no ages and no inodes", "install coreutils"),
    "sed": ("warn", "a status shows no loss", "install sed"),
    "grep": ("warn", "a status of many runs may miss live ones", "install grep"),
    "tail": ("warn", "a status shows no loss, and logs cannot be followed", "install coreutils"),
}
#: The oldest Python that runs the agent.
OLDEST: Final = (3, 8)
#: File systems over a network, as `stat -f` calls them: locks and file notification differ there.
NETWORKED: Final = re.compile(r"nfs|cifs|smb|fuse|lustre|ceph|gpfs|beegfs|afs|9p|v9fs|gluster", re.IGNORECASE)
#: Shared memory in GiB below which worker processes of a loader run into its end; containers begin with 1/16.
SHARED_GIB: Final = 1.0
#: Open files that a run with several ranks and loaders needs.
FILES: Final = 4096


def host_checks(name: str, answer: Answer, host: Host, limits: Limits, *, quick: bool) -> Iterator[Check]:
    """Python, tools, disk, file system, memory; without `quick` also limits that only advise."""
    yield _python(name, answer)
    yield from _tools(name, answer)
    found = {finding.id: finding for finding in host_findings(host, limits)}
    if host.disk is not None:
        yield _disk(name, host.disk, found.pop("host.disk", None))
        yield _filesystem(name, host.disk)
        if host.disk.inodes is not None and "host.inodes" not in found:
            evidence = f"{host.disk.inodes_free} of {host.disk.inodes} inodes free"
            yield Check("host.inodes", name, "ok", evidence)
    if host.memory is not None and "host.memory" not in found:
        memory = f"{host.memory.available / _GIB:.1f} of {host.memory.total / _GIB:.1f} GiB of memory available"
        yield Check("host.memory", name, "ok", memory)
    for finding in found.values():
        yield as_check(name, finding)
    if not quick:
        yield from _limits(name, answer)


def survival_checks(name: str, answer: Answer, *, quick: bool) -> Iterator[Check]:
    """Whether logind kills what a login leaves behind, and whether a run could be killed as one control group."""
    user = next(iter(answer.find("user").lines), "")
    # logind excludes root from killing by default.
    exempt = answer.find("user").word(0) == "0"
    lingers = answer.find("linger").word(0) == "yes"
    fix = f"loginctl enable-linger {printable(user)}"
    match answer.find("logind").word(0):
        case "kills" if not exempt and not lingers:
            evidence = "logind kills a user's processes at logout, and this user does not linger"
            yield Check("survival.logind", name, "fail", evidence, fix)
        case "unknown" if not exempt and not lingers:
            evidence = "systemd runs here, but logind does not say whether it kills processes at logout"
            yield Check("survival.logind", name, "warn", evidence, fix)
        case "absent":
            yield Check("survival.logind", name, "ok", "no logind: nothing ends processes at logout")
        case _:
            evidence = "root is exempt" if exempt else "the user lingers" if lingers else "logind spares processes"
            yield Check("survival.logind", name, "ok", evidence)
    if not quick:
        if answer.find("logind").word(1) == "cleans" and not exempt and not lingers:
            evidence = "logind removes a user's shared memory at the last logout (RemoveIPC)"
            yield Check("survival.ipc", name, "warn", evidence, fix)
        yield Check("survival.cgroup", name, "ok", _CGROUP.get(answer.find("cgroup2").word(0), "not known"))


_CGROUP: Final = {
    "usable": "cgroup.kill can be used: a stop ends a run's processes in one step",
    "absent": "no cgroup v2: a stop finds a run's processes by their environment",
    "old": "cgroup.kill needs Linux 5.14: a stop finds a run's processes by their environment",
    "closed": "this user may not make control groups: a stop finds a run's processes by their environment",
}


def as_check(name: str, finding: Finding, *, blocks: bool = True) -> Check:
    """A finding as a check; one that does not block warns at most."""
    status: Status = "ok" if finding.state == "healthy" else "fail" if finding.state == "failure" and blocks else "warn"
    return Check(finding.id, name, status, finding.evidence, "" if status == "ok" else finding.fix)


def _python(name: str, answer: Answer) -> Check:
    lines = answer.find("python").lines
    fix = "install Python 3.8 or newer, or name one as `python` of this instance in fleet.json"
    if not lines:
        return Check("host.python", name, "fail", "no Python was found", fix)
    path, said = printable(lines[0]), printable(" ".join(lines[1:]))
    version = re.fullmatch(r"([0-9]+)\.([0-9]+)\.[0-9]+", said)
    if version is None:
        return Check("host.python", name, "fail", f"{path} does not start: {said}", fix)
    old = (int(version[1]), int(version[2])) < OLDEST
    return Check("host.python", name, "fail" if old else "ok", f"{path} is {said}", fix if old else "")


def _tools(name: str, answer: Answer) -> Iterator[Check]:
    told = {part.word(0): part.word(1) for part in answer.named("tool")}
    missing = [tool for tool in TOOLS if told.get(tool) == "no"]
    if not missing:
        yield Check("host.tools", name, "ok", f"{', '.join(TOOLS)} are there")
    for tool in missing:
        status, instead, fix = TOOLS[tool]
        yield Check(f"host.tools.{tool}", name, status, f"{tool} is missing: {instead}", fix)


def _disk(name: str, disk: Disk, finding: Finding | None) -> Check:
    if finding is not None:
        return as_check(name, finding)
    return Check("host.disk", name, "ok", f"{disk.free / _GIB:.1f} of {disk.total / _GIB:.1f} GiB free")


def _filesystem(name: str, disk: Disk) -> Check:
    if NETWORKED.search(disk.kind):
        evidence = f"{disk.kind}: locks and file notification differ over a network"
        fix = "use a local folder as deploy_dir if runs or logs misbehave"
        return Check("host.filesystem", name, "warn", evidence, fix)
    return Check("host.filesystem", name, "ok", disk.kind or "not known")


def _limits(name: str, answer: Answer) -> Iterator[Check]:
    block, blocks = (count(answer.find("shm").word(number)) for number in (0, 1))
    if block is not None and blocks is not None:
        size = block * blocks / _GIB
        few = size < SHARED_GIB
        fix = "start the container with --shm-size=8g or --ipc=host" if few else ""
        yield Check("host.shm", name, "warn" if few else "ok", f"/dev/shm has {size:.2f} GiB", fix)
    soft, hard = answer.find("files").word(0), answer.find("files").word(1)
    most = count(hard) if hard != "unlimited" else FILES
    if most is not None:
        few = most < FILES
        evidence = f"{printable(soft)} open files, at most {printable(hard)}"
        yield Check("host.files", name, "warn" if few else "ok", evidence, "raise `nofile`" if few else "")
