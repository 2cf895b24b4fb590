"""The processes of a run, by what the kernel says of them: their environment and their ancestors, never their names.

A process belongs to a run if its environment has `FLEET_RUN_ID=<run>`, or if it descends from one that does or from the
run's supervisor. The supervisor adopts orphans, so while it lives a daemon that cleared its environment is still found.
"""

from __future__ import annotations

import os
import re
from typing import Any, NamedTuple

from fleet.remote import locks
from fleet.remote.atomic import read_json
from fleet.remote.fields import Fields
from fleet.remote.identity import PROC, Identity, boot_id, stat_fields
from fleet.remote.places import DeployDir, RunFiles
from fleet.remote.refusal import Answer, answered

_RUN = re.compile(rb"\0FLEET_RUN_ID=([a-z0-9-]{1,64})\0")
_FOLDER = re.compile(rb"\0FLEET_RUN_DIR=([^\0]*)\0")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Process(NamedTuple):
    """A running process; zombies have ended and are not among them."""

    pid: int
    parent: int
    start: int
    resident: int
    """Bytes of memory in use."""

    def identity(self) -> Identity:
        """Its identity in this boot."""
        return Identity(boot_id(), self.pid, self.start)


class Snapshot:
    """All running processes that this user may see, and which run each says it belongs to."""

    def __init__(self) -> None:
        self._all: dict[int, Process] = {}
        self._runs: dict[str, dict[int, bytes]] = {}
        for name in os.listdir(PROC):
            process = read(int(name)) if name.isdigit() else None
            if process is None:
                continue
            self._all[process.pid] = process
            variables = b"\0" + _bytes(process.pid, "environ")
            match, folder = _RUN.search(variables), _FOLDER.search(variables)
            if match:
                self._runs.setdefault(match[1].decode("ascii"), {})[process.pid] = folder[1] if folder else b""

    def runs(self) -> set[str]:
        """The runs that any process says it belongs to."""
        return set(self._runs)

    def of_run(self, run: str, supervisor: int | None = None, folder: str | None = None) -> list[Process]:
        """The processes of a run. With the pid of its living supervisor, all that descends from that too.

        `folder` is the run's directory: two nodes of a group that share a machine have the same run, but not the same
        directory, and must not end each other's processes.

        Never among them: the supervisor, this process and its ancestors, so that nobody stops the hand that stops.
        """
        spared = self._with_ancestors(os.getpid())
        theirs = None if folder is None else (b"", os.fsencode(folder))
        roots = {pid for pid, place in self._runs.get(run, {}).items() if theirs is None or place in theirs} - spared
        if supervisor is not None:
            roots.add(supervisor)
            spared.add(supervisor)
        return [self._all[pid] for pid in sorted(self._below(roots) - spared)]

    def _below(self, roots: set[int]) -> set[int]:
        """The roots and all that descends from them."""
        children: dict[int, list[int]] = {}
        for process in self._all.values():
            children.setdefault(process.parent, []).append(process.pid)
        found: set[int] = set()
        waiting = [pid for pid in roots if pid in self._all]
        while waiting:
            pid = waiting.pop()
            if pid not in found:
                found.add(pid)
                waiting += children.get(pid, [])
        return found

    def _with_ancestors(self, pid: int) -> set[int]:
        found = {pid}
        while pid in self._all and self._all[pid].parent not in found:
            pid = self._all[pid].parent
            found.add(pid)
        return found


def read(pid: int) -> Process | None:
    """One process, or None if it has ended."""
    fields = stat_fields(pid)
    if fields is None or fields[0] in (b"Z", b"X"):
        return None
    return Process(pid, int(fields[1]), int(fields[19]), int(fields[21]) * _PAGE)


def environment(pid: int) -> dict[str, str]:
    """The environment that a process was started with; empty for one that has ended or belongs to another user."""
    entries = (entry.partition(b"=") for entry in _bytes(pid, "environ").split(b"\0") if b"=" in entry)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in entries}


def command(pid: int) -> list[str]:
    """The command line of a process; empty once it has ended."""
    return [os.fsdecode(word) for word in _bytes(pid, "cmdline").split(b"\0") if word]


def _bytes(pid: int, name: str) -> bytes:
    try:
        with open(f"{PROC}/{pid}/{name}", "rb") as file:
            return file.read()
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return b""


def main(request: Any) -> tuple[Answer, int]:
    """List the live processes of this deploy_dir's runs: `{"deploy_dir", "run": id or null}`.

    The answer holds `processes` of `{run, pid, start, parent, role, rank, gpu, rss, command}`; `role` is `supervisor`,
    `launcher`, `rank` or `other` (what these have started), `rank` the global rank or null, `gpu` a UUID or null, `rss`
    bytes.
    """
    return answered(_list, request)


def _list(request: Answer) -> Answer:
    fields = Fields(request, "ps")
    home = DeployDir.at(fields.text("deploy_dir"))
    wanted = fields.optional("run")
    fields.finish()
    snapshot = Snapshot()
    rows: list[Answer] = []
    for files in home.runs():
        if wanted not in (None, files.run):
            continue
        holder = locks.holder_of(files.supervisor_lock)
        supervisor = None if holder is None else read(holder.pid)
        if supervisor is None and files.run not in snapshot.runs():
            continue
        if supervisor is not None:
            rows.append(_row(files.run, supervisor, "supervisor", {}))
        rows += _rows(files, snapshot.of_run(files.run, None if supervisor is None else supervisor.pid, files.path))
    return {"processes": rows}


def _rows(files: RunFiles, found: list[Process]) -> list[Answer]:
    launch, state = read_json(files.launch) or {}, read_json(files.state) or {}
    leader = (state.get("leader") or {}).get("pid")
    # A trainer that runs alone has no launcher to tell it its rank.
    alone = launch.get("nproc") == 1 and launch.get("group") is None
    rows = []
    for process in found:
        variables = environment(process.pid)
        role = "other"
        if process.pid == leader:
            role = "rank" if alone else "launcher"
            variables.setdefault("RANK", "0" if alone else "")
        elif process.parent == leader and "RANK" in variables:
            role = "rank"
        rows.append(_row(files.run, process, role, variables))
    return rows


def _row(run: str, process: Process, role: str, variables: dict[str, str]) -> Answer:
    number = variables.get("RANK", "")
    local = variables.get("LOCAL_RANK", "")
    devices = [device for device in variables.get("CUDA_VISIBLE_DEVICES", "").split(",") if device]
    gpu = devices[0] if len(devices) == 1 else None
    if local.isdigit() and int(local) < len(devices):
        gpu = devices[int(local)]
    return {
        "run": run,
        "pid": process.pid,
        "start": process.start,
        "parent": process.parent,
        "role": role,
        "rank": int(number) if number.isdigit() else None,
        "gpu": gpu,
        "rss": process.resident,
        "command": command(process.pid),
    }
