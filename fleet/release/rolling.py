"""Earlier releases of a host: list them, and make one current again after it was verified."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final

from fleet.errors import DeadlinePassed, Unreachable, Usage
from fleet.release.outcome import fields, refusal, release_or_none
from fleet.release.script import activate_command, list_command
from fleet.ssh import Deadline, Transport

_BEGINNING: Final = re.compile(r"[0-9a-f]{4,16}")


@dataclass(frozen=True, slots=True)
class RolledBack:
    """What a rollback did."""

    release: str
    """Current now."""
    previous: str | None
    """Current before."""


@dataclass(frozen=True, slots=True)
class ReleaseInfo:
    """One release on a host. What its record does not say is None."""

    release: str
    current: bool
    previous: bool
    age_seconds: int
    """Since it arrived, on the host's clock."""
    files: int | None = None
    bytes: int | None = None
    created: str | None = None
    """When it was first deployed, on the controller's clock, ISO 8601 in UTC."""
    commit: str | None = None
    dirty: bool | None = None
    pinned_by: tuple[str, ...] = ()
    """Live runs that were started from it."""


def rollback(
    transport: Transport, deploy_dir: str, *, to: str | None = None, deadline: Deadline, python: str = "python3"
) -> RolledBack:
    """Verify a release of the host again and make it current: `to`, an id or its beginning, else the previous one.

    Live runs stay on theirs. Raises NotFound if there is no such release, Unverified if it is no longer what its
    manifest says, Busy during a deploy, and what the transport raises.
    """
    if to is not None and not _BEGINNING.fullmatch(to):
        raise Usage(
            f"{to!r} is no release id",
            why="a release is named by 16 hex digits, or the first four or more of them",
            fix="take one from the list",
            example=f"fleet rollback {transport.name} --list",
        )
    try:
        result = transport.exec(activate_command(deploy_dir, to or "", "", True, python), deadline=deadline)
    except (Unreachable, DeadlinePassed) as error:
        if to is None:
            # The usual advice, to try again, would undo a rollback of which only the answer was lost.
            error.fix = "see which release is current, then name the one that you want: the switch may have been made"
            error.example = f"fleet rollback {transport.name} --list"
        raise
    if not result.ok:
        doing = f"{transport.name} was not rolled back to " + ("its previous release" if to is None else to)
        raise refusal(result, transport.name, deploy_dir, doing)
    said = dict(fields(result))
    return RolledBack(said["current"], release_or_none(said["previous"]))


def releases(
    transport: Transport, deploy_dir: str, *, deadline: Deadline, python: str = "python3"
) -> list[ReleaseInfo]:
    """The releases of a host, newest first. Raises RemoteFailed, and what the transport raises."""
    result = transport.exec(list_command(deploy_dir, python), deadline=deadline)
    found = fields(result)
    if not result.ok or not found or found[-1][0] != "end":
        raise refusal(result, transport.name, deploy_dir, "the host did not list its releases")
    first = dict(found)
    pins = [tuple(value.split(" ")) for word, value in found if word == "pin"]
    rows = []
    for release, age, record in (value.split(" ", 2) for word, value in found if word == "release"):
        fields_of = _record(record)
        rows.append(
            ReleaseInfo(
                release=release,
                current=first.get("current") == release,
                previous=first.get("previous") == release,
                age_seconds=int(age),
                pinned_by=tuple(run for pinned, run in pins if pinned == release),
                **{name: fields_of.get(name) for name in ("files", "bytes", "created", "commit", "dirty")},
            )
        )
    return rows


def _record(text: str) -> dict[str, Any]:
    """The record of a release; empty if it is missing or damaged, which a list must survive."""
    try:
        value = json.loads(text or "{}")
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
