"""Stopping runs, and proving what was saved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from fleet.control.finding import LIMIT, Found, find_run, live_runs
from fleet.control.report import Report
from fleet.control.session import Session
from fleet.errors import FleetError, StopIncomplete, Usage
from fleet.inventory import Group, Targets
from fleet.ssh import Deadline, fan_out

Runs: TypeAlias = tuple[Found, ...]
#: Seconds that hashing a checkpoint may take on the host, and some for the sweep after a kill.
_PROOF: Final = 330.0


@dataclass(frozen=True)
class Stopped:
    """How a stop ended on one host."""

    run: str
    state: str
    checkpoint: dict[str, Any] | None
    """`{"step", "verified", "quick"}` of the newest checkpoint, or None."""
    steps_lost: int | None
    survivors: tuple[dict[str, Any], ...]
    already: bool
    """Whether the run had ended before it was asked to."""
    proven: bool
    """Whether the checkpoint is newer than the request, or nothing was lost."""
    notes: tuple[str, ...] = ()
    """What was not as it should be: a state that could not be read or written, and what was found in its place."""

    def text(self) -> str:
        """What a user wants to know, in one line."""
        if self.survivors:
            return f"{self.run}: {len(self.survivors)} processes survived"
        if self.already and self.state != "lost":
            return f"{self.run}: already {self.state}"
        if self.checkpoint is not None and self.proven:
            return f"{self.run}: {self.state}; checkpoint step {self.checkpoint['step']} verified"
        if self.checkpoint is None and self.steps_lost == 0:
            # It had made no step, or it is a host of a group that does not write checkpoints.
            return f"{self.run}: {self.state}; it had nothing to save"
        since = "" if self.checkpoint is None else f" since step {self.checkpoint['step']}"
        lost = "" if self.steps_lost is None else f"; {self.steps_lost} steps lost"
        return f"{self.run}: {self.state}; no checkpoint{since}{lost}"


def members_only(targets: Targets) -> frozenset[str]:
    """The hosts that are meant only as members of a group, whose one run is the one on several hosts."""
    members = {name for unit in targets.units if isinstance(unit, Group) for name in unit.members}
    return frozenset(members - {unit.name for unit in targets.units})


def plan_stop(
    session: Session, names: Sequence[str], run: str | None, *, every: bool = False,
    members: frozenset[str] = frozenset(),
) -> Report[Runs]:  # fmt: skip
    """The runs of each host that a stop would end; nothing is changed. `members` are those of `members_only`.

    A host with several live runs of which none was named is an error (Usage), one without the named run NotFound.
    """

    def chosen(name: str, deadline: Deadline) -> Runs:
        return _chosen(session, name, run, every, name in members, deadline)

    return session.each(names, chosen, LIMIT, repeat=True)


def stop(
    session: Session, names: Sequence[str], run: str | None, *, every: bool = False, grace: float = 60.0,
    kill: bool = False, members: frozenset[str] = frozenset(),
) -> Report[tuple[Stopped, ...]]:  # fmt: skip
    """Stop the named run, the only live one, or with `every` all live ones, on each of these hosts; of those that are
    `members` the only live one on several hosts.

    A row holds the runs of a host that were stopped. A run without proof of its checkpoint, or with survivors, is also
    an error (StopIncomplete); so is a host with several live runs when none was named.
    """
    chosen = plan_stop(session, names, run, every=every, members=members)
    # By run and not by host: several runs of a host stop at the same time, and one that fails hides no other.
    wanted = {f"{found.host} {found.id}": found for row in chosen.rows.values() for found in row}
    deadline = session.deadline(grace + _PROOF)
    rows: dict[str, list[Stopped]] = {name: [] for name, row in chosen.rows.items() if not row}
    errors = list(chosen.errors)

    def end(key: str) -> Stopped:
        return _stop(session, wanted[key], grace, kill, deadline)

    for outcome in fan_out(wanted, end, jobs=session.jobs, deadline=deadline):
        host = wanted[outcome.name].host
        if outcome.error is not None:
            errors.append(outcome.error.on(host))
        elif outcome.value is not None:
            rows.setdefault(host, []).append(outcome.value)
            if not _proved(outcome.value):
                errors.append(_incomplete(host, outcome.value))
    made = {name: tuple(rows[name]) for name in names if name in rows}
    notes = [f"{name}: {one.run}: {note}" for name, row in made.items() for one in row for note in one.notes]
    return Report(made, tuple(errors), (*notes, *_recorded(session, names, made, errors, grace, kill)))


def _recorded(
    session: Session, names: Sequence[str], rows: dict[str, tuple[Stopped, ...]], errors: Sequence[FleetError],
    grace: float, kill: bool,
) -> tuple[str, ...]:  # fmt: skip
    words = [f"{name}: {stopped.text()}" for name, row in rows.items() for stopped in row]
    words += [f"{error.host} failed: {error.what}" for error in errors if not isinstance(error, StopIncomplete)]
    changed = [name for name, row in rows.items() if any(not stopped.already for stopped in row)]
    stopped_runs = {name: [stopped.run for stopped in row] for name, row in rows.items()}
    plan = {"runs": stopped_runs, "grace": grace, "kill": kill}
    return session.record("stop", names, "; ".join(words) or "nothing to stop", on_hosts=changed, plan=plan)


def _chosen(session: Session, name: str, run: str | None, every: bool, member: bool, deadline: Deadline) -> Runs:
    if run is not None:
        return (find_run(session, name, run, deadline),)
    live = live_runs(session, name, deadline)
    if member and not every:
        live = tuple(found for found in live if int(found.facts["nodes"] or 1) > 1)
    if every or len(live) <= 1:
        return live
    raise Usage(
        f"{name} has {len(live)} live runs: {', '.join(found.id for found in live)}",
        why="stopping the wrong one would lose its time on the devices",
        fix="name one with --run, or stop all with --all-runs",
        example=f"fleet stop {name} --run {live[0].id}",
        host=name,
    )


def _stop(session: Session, found: Found, grace: float, kill: bool, deadline: Deadline) -> Stopped:
    deploy_dir = session.instance(found.host).deploy_dir
    request = {"deploy_dir": deploy_dir, "run": found.id, "grace": grace, "kill": kill}
    answer = session.agent(found.host, deadline).call("stop", request, deadline=deadline)
    return Stopped(
        run=answer["run"],
        state=answer["state"],
        checkpoint=answer.get("checkpoint"),
        steps_lost=answer.get("steps_lost"),
        survivors=tuple(answer.get("survivors") or ()),
        already=answer["already"],
        proven=answer["proven"],
        notes=tuple(answer.get("notes") or ()),
    )


def _proved(stopped: Stopped) -> bool:
    if stopped.survivors:
        return False
    # Nobody has looked what a lost run left behind before.
    ended = stopped.already and stopped.state != "lost"
    return ended or stopped.proven or stopped.state == "completed"


def _incomplete(name: str, stopped: Stopped) -> FleetError:
    survivors = ", ".join(str(process.get("pid")) for process in stopped.survivors)
    there = "the beginning: there is no checkpoint" if stopped.checkpoint is None else "the checkpoint that is there"
    return StopIncomplete(
        stopped.text() + (f" (pids {survivors})" if survivors else ""),
        why="the processes could not be ended" if survivors else "no checkpoint newer than the request was verified",
        fix="look at them on the host" if survivors else f"resume continues from {there}",
        example=f"fleet ps {name}" if survivors else f"fleet resume {name} --run {stopped.run}",
        host=name,
    )
