"""Control groups: one of a run's own where this user may make it, and what the kernel counts of memory kills.

With `cgroup.kill` (Linux 5.14, version 2) all processes of a run end at once, whatever they did to hide. Rented
containers and plain logins rarely allow it; then the sweep by environment and ancestry does the same work.
"""

from __future__ import annotations

import contextlib
import hashlib
import os

from fleet.remote.identity import PROC

_MOUNTS = f"{PROC}/self/mountinfo"
_OWN = f"{PROC}/self/cgroup"


class RunGroup:
    """The control group of one run."""

    def __init__(self, path: str) -> None:
        self.path = path

    @classmethod
    def create(cls, directory: str) -> RunGroup | None:
        """Make the group of a run directory below this process's own; None where that is not possible or could not
        kill."""
        own = own_group(version=2)
        if own is None:
            return None
        path = os.path.join(own, _name(directory))
        try:
            os.makedirs(path, exist_ok=True)
            if os.access(os.path.join(path, "cgroup.kill"), os.W_OK):
                return cls(path)
            os.rmdir(path)
        except OSError:
            return None
        return None

    @classmethod
    def at(cls, path: object, directory: str) -> RunGroup | None:
        """The group that a run wrote down; None unless it is there and can only be that of this run directory."""
        root = _mount(version=2)
        if not isinstance(path, str) or root is None or os.path.basename(path) != _name(directory):
            return None
        inside = os.path.realpath(path) == path and path.startswith(root + os.sep)
        return cls(path) if inside and os.path.isfile(os.path.join(path, "cgroup.kill")) else None

    def adopt(self, pid: int) -> bool:
        """Move a process into the group; its later children are born there. Returns whether that was allowed."""
        return _write(os.path.join(self.path, "cgroup.procs"), str(pid))

    def kill(self) -> bool:
        """Kill everything in the group. Returns whether the kernel took the order."""
        return _write(os.path.join(self.path, "cgroup.kill"), "1")

    def oom_kills(self) -> int:
        """Processes of the group that the kernel killed for want of memory, as far as it counts them."""
        return _counted(os.path.join(self.path, "memory.events"))

    def remove(self) -> None:
        """Remove the group if it is empty; one that holds a process stays."""
        with contextlib.suppress(OSError):
            os.rmdir(self.path)


def _name(directory: str) -> str:
    """By directory and not by run id alone: two nodes of a group, or two projects, may share a machine and an id."""
    digest = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    return f"fleet-{os.path.basename(directory)}-{digest}"


def own_group(version: int) -> str | None:
    """The folder of this process's group in the hierarchy of a version; of version 1, the one that limits memory."""
    root = _mount(version)
    if root is None:
        return None
    for line in _lines(_OWN):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if (version == 2 and number == "0") or (version == 1 and "memory" in controllers.split(",")):
            folder = os.path.join(root, path.lstrip("/")).rstrip("/")
            # In a container the path may be the host's while the mount shows the container's part only.
            return folder if os.path.isdir(folder) else root
    return None


def shared_oom_kills() -> int:
    """Memory kills counted in the groups that this process shares with others, of either version."""
    counts = []
    for version, name in ((2, "memory.events"), (1, "memory.oom_control")):
        folder = own_group(version)
        if folder is not None:
            counts.append(_counted(os.path.join(folder, name)))
    return max(counts, default=0)


def _mount(version: int) -> str | None:
    for line in _lines(_MOUNTS):
        before, _, after = line.partition(" - ")
        place, kind = before.split(" ")[4], after.split(" ")
        if version == 2 and kind[0] == "cgroup2":
            return place
        if version == 1 and kind[0] == "cgroup" and "memory" in kind[-1].split(","):
            return place
    return None


def _counted(path: str) -> int:
    for line in _lines(path):
        name, _, value = line.partition(" ")
        if name == "oom_kill" and value.isdigit():
            return int(value)
    return 0


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []


def _write(path: str, text: str) -> bool:
    try:
        with open(path, "w", encoding="ascii") as file:
            file.write(text)
    except OSError:
        return False
    return True
