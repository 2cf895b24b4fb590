"""What a host says of itself before a deploy, in one reply."""

from __future__ import annotations

from dataclasses import dataclass

from fleet.release.outcome import fields, refusal, release_or_none
from fleet.release.script import inspect_command
from fleet.ssh import Deadline, Transport


@dataclass(frozen=True, slots=True)
class Inspection:
    """A host as a deploy sees it."""

    machine: str
    """Names the host among those that share deploy_dir."""
    base: str
    """deploy_dir with `~` expanded."""
    current: str | None
    """Release that `current` points to."""
    current_digest: str
    """Digest of its manifest; empty if there is none."""
    releases: tuple[str, ...]
    """All that are there, newest first."""
    free: int | None
    """Bytes; None if the host could not tell."""
    missing: tuple[str, ...]
    """Tools that the host lacks, each replaced by Python."""
    live: tuple[tuple[str, str | None], ...]
    """Live runs, each with its release."""


def inspect(transport: Transport, deploy_dir: str, deadline: Deadline, python: str) -> Inspection:
    """Ask a host, in one round trip. Nothing there is changed. Raises what the transport raises, and RemoteFailed."""
    result = transport.exec(inspect_command(deploy_dir, python), deadline=deadline)
    found = fields(result)
    first = dict(found)
    # Without the last line the reply is a part of one.
    if not result.ok or not {"machine", "base", "end"} <= first.keys():
        raise refusal(result, transport.name, deploy_dir, "the host did not answer what it has")
    release, _, digest = first.get("current", "").partition(" ")
    free = first.get("free_kib", "")
    lives = [value.partition(" ") for word, value in found if word == "live"]
    return Inspection(
        machine=first["machine"],
        base=first["base"],
        current=release_or_none(release),
        current_digest=digest,
        releases=tuple(name for word, value in found if word == "release" and (name := release_or_none(value))),
        free=int(free) << 10 if free.isdigit() else None,
        missing=tuple(value for word, value in found if word == "missing"),
        live=tuple((run, release_or_none(used)) for run, _, used in lives),
    )
