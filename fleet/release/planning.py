"""What a deploy would do, step by step, without doing it."""

from __future__ import annotations

from dataclasses import dataclass

from fleet.release.base import nearest
from fleet.release.inspection import inspect
from fleet.release.script import activate_command
from fleet.release.steps import check_room, prepared, receiving, task
from fleet.release.store import ManifestStore
from fleet.release.tree import Tree
from fleet.ssh import Deadline, Transport


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One thing that would be done."""

    host: str
    what: str
    argv: tuple[str, ...] = ()
    """What would run on the host; empty for a step that runs nothing."""
    files: int = 0
    """Files that would be sent."""
    bytes: int = 0
    """Bytes that would be sent."""


def plan_deploy(
    transport: Transport,
    tree: Tree,
    deploy_dir: str,
    *,
    switch: bool = True,
    deadline: Deadline,
    python: str = "python3",
    note: bytes = b"",
) -> tuple[PlanStep, ...]:
    """The steps of the deploy with the same arguments. Reads from the host, and changes nothing anywhere.

    Raises what the deploy would raise before it sends anything.
    """
    name = transport.name
    host = inspect(transport, deploy_dir, deadline, python)
    steps = []
    todo = task(host, tree, switch)
    if todo == "nothing":
        steps.append(PlanStep(name, f"nothing: release {tree.release} is current"))
    elif todo == "verify":
        argv = activate_command(deploy_dir, tree.release, tree.digest, switch, python).argv
        ending = ", and make it current" if switch else ""
        steps.append(PlanStep(name, f"verify release {tree.release}, which is there{ending}", argv))
    else:
        base = nearest(transport, host, tree, ManifestStore(tree.cache, keep=False), deadline)
        upload = prepared(tree, base, note=note)
        check_room(name, host, upload)
        argv = receiving(tree, host, upload, base, deploy_dir, switch, deadline, python).argv
        onto = "" if base is None else f" on top of {base.release}, of which {base.changes.reused} files stay"
        ending = ", verify it and make it current" if switch else " and verify it"
        steps.append(PlanStep(name, f"send release {tree.release}{onto}{ending}", argv, upload.files, upload.size))
    steps += [PlanStep(name, f"run {run} stays on release {used or 'it was started from'}") for run, used in host.live]
    return tuple(steps)
