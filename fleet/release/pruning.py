"""Retention: what may be removed from a host, first listed, then removed under the lock of its releases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fleet.release.outcome import fields, refusal
from fleet.release.script import prune_command
from fleet.ssh import Deadline, Transport

Kind = Literal["release", "environment", "temporary", "log"]


@dataclass(frozen=True, slots=True)
class Prunable:
    """Something on a host that nothing needs."""

    kind: Kind
    name: str
    """Release id, environment id, name in the temporary folder, or `run/segment` of a log."""
    bytes: int
    """Room on the disk. Releases share files, so removing one frees this much at most."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Something that stays although it is old."""

    kind: Kind
    name: str
    why: str


@dataclass(frozen=True, slots=True)
class Pruned:
    """What can be removed, or was."""

    items: tuple[Prunable, ...]
    kept: tuple[Kept, ...]
    removed: bool


def prune(
    transport: Transport,
    deploy_dir: str,
    *,
    keep: int = 5,
    log_days: int = 30,
    remove: Sequence[Prunable] | None = None,
    deadline: Deadline,
    python: str = "python3",
) -> Pruned:
    """List what can go, or, given such a list as `remove`, remove of it what can still go.

    Kept are the newest `keep` releases and environments, what is current or previous on any host that shares the
    folder, and whatever a live run names. Logs are the segments of ended runs, all but the last, older than `log_days`
    days. Checkpoints are never touched. Raises Busy during a deploy, RemoteFailed, and what the transport raises.
    """
    chosen = "".join(f"{item.kind} {item.name}\n" for item in remove or ())
    command = prune_command(deploy_dir, keep, log_days, remove is not None, python)
    result = transport.exec(command, stdin=chosen.encode(errors="surrogateescape"), deadline=deadline)
    found = fields(result)
    if not result.ok or not found or found[-1][0] != "end":
        raise refusal(result, transport.name, deploy_dir, "the host did not finish the clean-up")
    items = [value.split(" ", 2) for word, value in found if word == "item"]
    stays = [value.split(" ", 2) for word, value in found if word == "kept"]
    return Pruned(
        items=tuple(Prunable(_kind(kind), name, int(kib) << 10) for kind, kib, name in items),
        kept=tuple(Kept(_kind(kind), name, why) for kind, name, why in stays),
        removed=remove is not None,
    )


def _kind(word: str) -> Kind:
    kinds: dict[str, Kind] = {kind: kind for kind in ("release", "environment", "temporary", "log")}
    return kinds[word]
