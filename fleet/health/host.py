"""What a host says of itself in a probe: clock, boot, memory, disk, what is deployed there."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final, Literal

from fleet.health.sections import Answer
from fleet.health.values import count, decimal, printable

Place = Literal["present", "absent", "unwritable"]
_KIB: Final = 1 << 10


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system of deploy_dir, or of the nearest folder that exists. Sizes are bytes."""

    total: int
    free: int
    """What an ordinary user may still write."""
    inodes: int | None
    inodes_free: int | None
    kind: str
    """As the host calls it: `ext2/ext3`, `nfs`, `overlayfs`."""

    def to_json(self) -> dict[str, Any]:
        """The disk for programs."""
        return {
            "total_bytes": self.total,
            "free_bytes": self.free,
            "inodes": self.inodes,
            "inodes_free": self.inodes_free,
            "filesystem": self.kind,
        }


@dataclass(frozen=True, slots=True)
class Memory:
    """Main memory in bytes: the machine's, or the container's if that has less."""

    total: int
    available: int

    def to_json(self) -> dict[str, Any]:
        """The memory for programs."""
        return {"total_bytes": self.total, "available_bytes": self.available}


@dataclass(frozen=True, slots=True)
class Release:
    """A release that lies on the host."""

    id: str
    age: float | None
    """Seconds since it was put there."""
    current: bool

    def to_json(self) -> dict[str, Any]:
        """The release for programs."""
        return {"id": self.id, "age_s": self.age, "current": self.current}


@dataclass(frozen=True, slots=True)
class Host:
    """One host at one moment. What it could not tell is None."""

    now: float | None
    """Its clock, Unix seconds, to half a second."""
    uptime: float | None
    boot_id: str | None
    machine: str | None
    """16 hex digits, the rule of `hydra.runs.machine_id`."""
    load: tuple[float, ...]
    """Over 1, 5 and 15 minutes."""
    place: Place | None
    """Whether deploy_dir is there."""
    disk: Disk | None
    memory: Memory | None
    release: str | None
    """What `current` points to."""
    dangling: bool
    """Whether `current` points to a release that is not there."""
    releases: tuple[Release, ...]
    environments: tuple[str, ...]


def read_host(answer: Answer) -> Host:
    """The host's part of an answer. Never raises: what cannot be read is absent."""
    seconds = decimal(answer.find("now").word(0))
    identity = answer.find("identity").lines
    machine = machine_of(*identity) if len(identity) == 2 else None
    current = next((part.word(1) for part in answer.named("current") if part.word(0) == machine), "")
    release = current if current not in ("", "-") else None
    # `date` tells whole seconds, so the moment is half a second later on average.
    now = None if seconds is None else seconds + 0.5
    load = tuple(value for value in map(decimal, answer.find("load").words[:3]) if value is not None)
    place = answer.find("place").word(0)
    return Host(
        now=now,
        uptime=decimal(answer.find("uptime").word(0)),
        boot_id=printable(answer.find("boot").word(0)) or None,
        machine=machine,
        load=load if len(load) == 3 else (),
        place=place if place in ("present", "absent", "unwritable") else None,  # type: ignore[arg-type]
        disk=_disk(answer) or _df(answer),
        memory=_memory(answer),
        release=None if release is None else printable(release),
        dangling=current == "-",
        releases=_releases(answer, release, now),
        environments=tuple(printable(part.word(0)) for part in answer.named("env") if part.word(0)),
    )


def machine_of(machine_id: str, host_name: str) -> str:
    """The name of a machine in `hosts/`: a hash of machine id and host name, since cloned images share the former."""
    return hashlib.sha256(f"{machine_id}\n{host_name}".encode("utf-8", "replace")).hexdigest()[:16]


def _disk(answer: Answer) -> Disk | None:
    section = answer.find("disk")
    block, total, free, inodes, inodes_free = (count(section.word(number)) for number in range(5))
    if block is None or total is None or free is None:
        return None
    # File systems without a fixed number of inodes (btrfs, some network ones) say 0.
    return Disk(
        total=total * block,
        free=free * block,
        inodes=inodes or None,
        inodes_free=inodes_free if inodes else None,
        kind=printable(" ".join(section.words[5:])),
    )


def _df(answer: Answer) -> Disk | None:
    """From `df -Pk`, where `stat -f` is not understood."""
    for line in answer.find("df").lines[1:]:
        cells = line.split()
        numbers = [count(cell) for cell in cells[1:4]]
        if len(cells) >= 6 and numbers[0] is not None and numbers[2] is not None:
            return Disk(numbers[0] * _KIB, numbers[2] * _KIB, None, None, "unknown")
    return None


def _memory(answer: Answer) -> Memory | None:
    total, available = (count(answer.find("memory").word(number)) for number in (0, 1))
    if total is None or available is None:
        return None
    total, available = total * _KIB, available * _KIB
    most, used, cache = (count(answer.find("cgroup").word(number)) for number in (0, 1, 2))
    if most is None or used is None or most >= total:
        return Memory(total, available)
    # What is only kept because nobody else wanted the memory is given back first.
    return Memory(most, max(0, min(available, most - used + (cache or 0))))


def _releases(answer: Answer, current: str | None, now: float | None) -> tuple[Release, ...]:
    """Newest first."""
    rows = []
    for part in answer.named("release"):
        at = count(part.word(1))
        age = None if at is None or now is None else max(0.0, now - at)
        rows.append(Release(printable(part.word(0)), age, part.word(0) == current))
    return tuple(sorted(rows, key=lambda release: (release.age is None, release.age or 0.0, release.id)))
