"""Which run is meant, on a host or anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet.control.session import Session
from fleet.errors import NotFound, Usage
from fleet.remote.states import LIVE
from fleet.ssh import Deadline

#: Seconds to ask one host for its runs.
LIMIT: Final = 60.0
#: A whole run id, of which no other one can be the beginning that is meant.
WHOLE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,42}-[0-9]{8}-[0-9]{6}-[a-z2-7]{4}")
#: Key of the ids that were seen last, for shell completion.
SEEN: Final = "seen"


@dataclass(frozen=True)
class Found:
    """A run of a host, as the agent there describes it."""

    host: str
    facts: dict[str, Any]

    @property
    def id(self) -> str:
        """The run id."""
        return str(self.facts["id"])

    @property
    def state(self) -> str:
        """The authoritative state: a live one is backed by a held lock."""
        return str(self.facts["state"] or "unknown")

    @property
    def live(self) -> bool:
        """Whether its supervisor lives."""
        return bool(self.facts["live"]) or self.state in LIVE


def runs_of(session: Session, name: str, deadline: Deadline) -> tuple[Found, ...]:
    """All runs of a host, newest first."""
    request = {"deploy_dir": session.instance(name).deploy_dir}
    answer = session.agent(name, deadline).call("runs", request, deadline=deadline)
    return tuple(Found(name, facts) for facts in answer["runs"])


def live_runs(session: Session, name: str, deadline: Deadline) -> tuple[Found, ...]:
    """The live ones."""
    return tuple(found for found in runs_of(session, name, deadline) if found.live)


def find_run(session: Session, name: str, reference: str, deadline: Deadline) -> Found:
    """The run that an id, or a unique beginning of one, means. Raises NotFound with the list, Usage if several fit."""
    return pick(name, runs_of(session, name, deadline), reference)


def default_run(session: Session, name: str, reference: str | None, deadline: Deadline) -> Found:
    """The named run; without a name the live one, else the newest. Raises NotFound."""
    runs = runs_of(session, name, deadline)
    if reference is not None:
        return pick(name, runs, reference)
    if not runs:
        raise _none(name, "a run", ())
    return next((found for found in runs if found.live), runs[0])


def pick(name: str, runs: Sequence[Found], reference: str) -> Found:
    """The one of these runs that is meant."""
    exact = [found for found in runs if found.id == reference]
    fitting = exact or [found for found in runs if found.id.startswith(reference)]
    if not fitting:
        raise _none(name, f"run {reference!r}", runs)
    if len(fitting) > 1:
        raise Usage(
            f"{reference!r} means {len(fitting)} runs on {name}: {', '.join(found.id for found in fitting)}",
            why="the beginning of an id must be unique",
            fix="give more of it",
            example=fitting[0].id,
            host=name,
        )
    return fitting[0]


def remember(session: Session, runs: Sequence[Found]) -> None:
    """Keep the ids for shell completion, which asks no host."""
    ids = json.dumps([found.id for found in runs][:200])
    session.workspace.cache.put("runs", SEEN, ids.encode())


def _none(name: str, what: str, runs: Sequence[Found]) -> NotFound:
    if not runs:
        return NotFound(
            f"{name} has no runs",
            why="none was ever started there, or they were removed",
            fix="start one, or name the host that has it",
            example=f"fleet train {name}",
            host=name,
        )
    there = ", ".join(found.id for found in runs[:10])
    more = f" and {len(runs) - 10} more" if len(runs) > 10 else ""
    return NotFound(
        f"{name} has no {what}",
        why=f"its runs are: {there}{more}",
        fix="give an id of that list, or the host that has it",
        example=f"fleet runs {name}",
        host=name,
    )
