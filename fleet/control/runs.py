"""Runs on hosts: their list, the stored record of one, and in what two of them differ."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from fleet.control.finding import LIMIT, Found, default_run, pick, remember, runs_of
from fleet.control.report import Report
from fleet.control.session import Session
from fleet.errors import NotFound, RemoteFailed, Usage
from fleet.remote.states import LIVE, TERMINAL
from fleet.ssh import Cmd, Deadline

_ABSENT: Final = 66
#: States that runs can be selected by; `unknown` is a run whose state cannot be read.
STATES: Final = (*sorted(LIVE), *sorted(TERMINAL), "unknown")


@dataclass(frozen=True)
class Stored:
    """What a run's directory keeps about how it was started."""

    host: str
    facts: dict[str, Any]
    record: dict[str, Any]
    """run.json."""
    launch: dict[str, Any]
    """launch.json: what its supervisor was told."""
    manifest: dict[str, Any] | None
    """The resolved settings of manifest.yaml with their origins; None if the trainer never got that far."""


def runs(session: Session, names: Sequence[str], state: str | None = None) -> Report[tuple[Found, ...]]:
    """All runs of hosts, newest first, or those in one state. Raises Usage for what is no state."""
    if state is not None and state not in STATES:
        raise Usage(
            f"there is no state {state!r}",
            why=f"a run is {', '.join(STATES[:-1])}, or its state is {STATES[-1]}",
            fix="name one of them, or leave --state out",
            example="fleet runs --state running",
        )
    report = session.each(names, lambda name, deadline: runs_of(session, name, deadline), LIMIT)
    remember(session, [found for row in report.rows.values() for found in row])
    if state is None:
        return report
    kept = {name: tuple(found for found in row if found.state == state) for name, row in report.rows.items()}
    return Report(kept, report.errors, report.warnings)


def row_of(found: Found) -> dict[str, Any]:
    """A run for programs, with the fields that `fleet runs --json` promises."""
    facts = found.facts
    started, ended = facts["started"], facts["ended"]
    kept = ("attempt", "step", "total_steps", "loss", "started", "ended", "exit", "release", "environment", "restarts")
    return {
        "id": found.id,
        "host": found.host,
        "nodes": facts["nodes"] or 1,
        "state": found.state,
        **{name: facts[name] for name in kept},
        "duration": None if started is None else (ended or time.time()) - started,
        "checkpoint": facts["checkpoint"]["newest"],
        "best_checkpoint": facts["checkpoint"]["best"],
        "verified_checkpoint": facts["checkpoint"]["verified"],
        "gpus": facts["gpus"] or [],
        "reason": facts["reason"] or _ending(facts["exit"]),
    }


def _ending(exit: dict[str, Any] | None) -> str:
    """Why a run ended, in a few words."""
    if not exit:
        return ""
    culprit = exit.get("culprit") or {}
    words = [str(culprit["message"])] if culprit.get("message") else []
    parts = [f"{name} {exit[name]}" for name in ("code", "signal") if exit.get(name) not in (None, 0)]
    return "; ".join([*([exit["kind"]] if exit.get("kind") else []), *parts, *words])


def stored(session: Session, names: Sequence[str], reference: str) -> Stored:
    """The record of the run that an id, or the beginning of one, means on any of these hosts. Raises NotFound."""
    report = runs(session, names)
    every = [found for row in report.rows.values() for found in row]
    if not every and report.errors:
        raise report.errors[0]
    # A run of a group is on several hosts; the one with node rank 0 has its metrics and checkpoints.
    whole = [found for found in every if not found.facts["node_rank"]]
    found = pick(", ".join(names), whole or every, reference)
    return stored_on(session, found, session.deadline(LIMIT))


def stored_on(session: Session, found: Found, deadline: Deadline) -> Stored:
    """The record of a run that was found."""
    record = _document(session, found, "run.json", deadline)
    launch = _document(session, found, "launch.json", deadline)
    if record is None or launch is None:
        raise NotFound(
            f"run {found.id} on {found.host} has no {'run.json' if record is None else 'launch.json'}",
            why="it says how the run was started, and nothing is guessed",
            fix="start a new run",
            example=f"fleet train {found.host}",
            host=found.host,
        )
    return Stored(found.host, found.facts, record, launch, _manifest(session, found, deadline))


def newest_unfinished(session: Session, name: str, reference: str | None, deadline: Deadline) -> Found:
    """The named run, or the newest one that is not completed. Raises NotFound."""
    if reference is not None:
        return default_run(session, name, reference, deadline)
    for found in runs_of(session, name, deadline):
        if found.state != "completed":
            return found
    raise NotFound(
        f"{name} has no run to resume",
        why="there is none, or all are completed",
        fix="start one, or name the run",
        example=f"fleet train {name}",
        host=name,
    )


def difference(one: Stored, two: Stored) -> dict[str, tuple[Any, Any]]:
    """Dotted setting -> its value in each, where two runs differ: manifest, release, environment, hardware. A value
    that one of them does not have reads `<absent>`.
    """
    # Imported late: it brings the schema of manifests with it.
    from hydra.manifest import difference as differences

    return differences(_settings(one), _settings(two))


def _settings(stored: Stored) -> dict[str, Any]:
    record = {key: stored.record.get(key) for key in ("release", "environment", "profile", "hardware")}
    # The environment's package list would bury everything else; its id already differs when they do.
    record["environment"] = (record["environment"] or {}).get("id")
    return {**record, "manifest": (stored.manifest or {}).get("manifest") or {}}


def _document(session: Session, found: Found, name: str, deadline: Deadline) -> dict[str, Any] | None:
    text = file_of(session, found, name, deadline)
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise _damaged(found, name, str(error)) from error
    if not isinstance(value, dict):
        raise _damaged(found, name, "it is no JSON object")
    return value


def _manifest(session: Session, found: Found, deadline: Deadline) -> dict[str, Any] | None:
    text = file_of(session, found, "manifest.yaml", deadline)
    if text is None:
        return None
    import yaml

    value = yaml.safe_load(text)
    return value if isinstance(value, dict) else None


def file_of(session: Session, found: Found, name: str, deadline: Deadline) -> bytes | None:
    """The content of a file of a run, or None if it is not there."""
    cmd = Cmd.script("read-run.sh", session.instance(found.host).deploy_dir, found.id, name)
    result = session.transport(found.host, deadline).exec(cmd, deadline=deadline)
    if result.rc == _ABSENT:
        return None
    if not result.ok:
        raise _damaged(found, name, result.err.decode("utf-8", "replace").strip() or f"status {result.rc}")
    return (b"\n" + result.out).partition(b"\nbegin\n")[2]


def _damaged(found: Found, name: str, why: str) -> RemoteFailed:
    return RemoteFailed(
        f"{name} of run {found.id} on {found.host} cannot be read: {why}",
        why="what a run was started with must be read from its own record",
        fix="look at the file",
        example=f"fleet run {found.host} -- cat fleet/hydra/runs/{found.id}/{name}",
        host=found.host,
    )
