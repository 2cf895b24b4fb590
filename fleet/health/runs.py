"""The runs of a host: what their files say, judged by whether the supervisor's lock is held.

The same judgement as `hydra.runs.observed_state`, made from what a probe brought instead of from files, and without
importing that room: its models take longer to import than a look at a hundred hosts may.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from fleet.health.sections import Answer, Section
from fleet.health.values import count, document, finite, real, rounded, text, texts, whole, word

LIVE: Final = frozenset({"starting", "running", "stopping", "backoff"})
TERMINAL: Final = frozenset({"completed", "stopped", "failed", "oom", "killed", "lost"})
#: Seconds without a heartbeat after which a run whose lock proves nothing here counts as dead.
BEAT_LIMIT: Final = 60.0
_ID: Final = re.compile(r"(?P<name>[a-z0-9-]+)-(?P<stamp>[0-9]{8}-[0-9]{6})-[a-z2-7]{4}")
_PARTS: Final = frozenset({"state", "progress", "metrics", "events", "oversize"})


@dataclass(frozen=True, slots=True)
class HostClock:
    """What a run's claims are held against: the host's own time, boot and machine, as it told them."""

    now: float | None
    boot_id: str | None
    machine: str | None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run as it is now. What it has not told is None. Ages are seconds, taken on the host."""

    id: str
    name: str
    state: str | None
    """As judged: a run that claims to live and whose lock is free is `lost`. None if nothing readable says."""
    reason: str
    """Why it is in this state: how it ended, or why it is not what was written. Empty for a live run."""
    attempt: int | None = None
    phase: str | None = None
    step: int | None = None
    total_steps: int | None = None
    loss: float | None = None
    """Nats per target token of the last step; may be NaN."""
    tokens_per_s: float | None = None
    age: float | None = None
    """Since the last line of metrics."""
    last_step_age: float | None = None
    """Since the last step of this attempt."""
    phase_age: float | None = None
    heartbeat_age: float | None = None
    median_step: float | None = None
    """Seconds; of this attempt's last steps."""
    started: float | None = None
    """Unix seconds, from its id."""
    gpus: tuple[str, ...] = ()
    """UUIDs."""
    nodes: int = 1
    release: str | None = None
    environment: str | None = None
    machine: str | None = None
    """The machine that runs it, when several share the folder."""
    straggler: str = ""
    """What the run says of a rank that holds the others up."""

    @property
    def live(self) -> bool:
        """Whether it lives."""
        return self.state in LIVE

    def to_json(self) -> dict[str, Any]:
        """The run for programs."""
        return {
            "id": self.id,
            "name": self.name,
            "nodes": self.nodes,
            "attempt": self.attempt,
            "state": self.state,
            "reason": self.reason or None,
            "phase": self.phase,
            "step": self.step,
            "total_steps": self.total_steps,
            "loss": word(self.loss),
            "tokens_per_s": word(self.tokens_per_s),
            "age_s": rounded(self.age),
            "last_step_age_s": rounded(self.last_step_age),
            "started": self.started,
            "gpus": list(self.gpus),
        }


def read_runs(answer: Answer, clock: HostClock) -> tuple[RunSummary, ...]:
    """The runs that an answer shows, in its order: the live ones, then the newest."""
    times = _times(answer.find("files"))
    return tuple(
        _summary(head.words[0], head.word(1), parts, clock, times)
        for head, parts in answer.groups("run", _PARTS)
        if head.words
    )


def _summary(
    run: str, lock: str, parts: Mapping[str, Section], clock: HostClock, times: Mapping[str, float]
) -> RunSummary:
    written = document(_lines(parts, "state"))
    progress = document(_lines(parts, "progress")) or {}
    row = _last_row(_lines(parts, "metrics"))

    def age(file: str) -> float | None:
        at = times.get(f"{run}/{file}")
        return None if at is None or clock.now is None else max(0.0, clock.now - at)

    state, reason = _judged(written, lock, clock, age("progress.json"))
    if written is None and "oversize" in parts:
        reason = "state.json is too large to be one"
    live = state in LIVE
    written = written or {}
    step_ms = finite(progress.get("median_step_ms"))
    match = _ID.fullmatch(run)
    return RunSummary(
        id=run,
        name=match["name"] if match else run,
        state=state,
        reason=reason,
        attempt=whole(written.get("attempt")),
        phase=text(progress.get("phase")) if live else None,
        step=_first(whole(progress.get("step")), whole(written.get("last_step")), whole(row.get("step"))),
        total_steps=whole(progress.get("total_steps")),
        loss=real(row.get("loss")),
        tokens_per_s=real(row.get("tokens_per_s")),
        age=age("metrics.jsonl"),
        last_step_age=_since(finite(progress.get("last_step_time")), clock),
        phase_age=_since(finite(progress.get("phase_since")), clock),
        heartbeat_age=age("progress.json"),
        median_step=None if step_ms is None else step_ms / 1000,
        started=_started(match["stamp"] if match else "") or finite(written.get("since")),
        gpus=texts(written.get("gpus")),
        nodes=whole(written.get("node_count")) or 1,
        release=text(written.get("release")),
        environment=text(written.get("environment")),
        machine=text(written.get("machine_id")),
        straggler=_straggler(_lines(parts, "events"), written) if live else "",
    )


def _judged(
    written: Mapping[str, Any] | None, lock: str, clock: HostClock, beat: float | None
) -> tuple[str | None, str]:
    """The state in which a run really is, and why."""
    state = (written or {}).get("state")
    if written is None or not isinstance(state, str) or state not in LIVE | TERMINAL:
        return None, "state.json cannot be read"
    if state in TERMINAL:
        return state, _ending(written.get("exit"))
    if lock == "held":
        return state, ""
    beats = beat is not None and beat <= BEAT_LIMIT
    machine, boot = written.get("machine_id"), written.get("boot_id")
    if isinstance(machine, str) and clock.machine is not None and machine != clock.machine:
        if beats:
            return state, "runs on another machine"
        return "lost", "ran on another machine, and its heartbeat stopped"
    if isinstance(boot, str) and clock.boot_id is not None and boot != clock.boot_id:
        return "lost", "host rebooted"
    if lock == "free":
        owner = "trainer" if written.get("supervisor") is None else "supervisor"
        return "lost", f"the {owner} died without a final record"
    if beats:
        return state, "its lock cannot be tested here, but its heart beats"
    return "lost", "its lock cannot be tested here, and its heartbeat stopped"


def _ending(exit_: object) -> str:
    """How a run ended, in words."""
    if not isinstance(exit_, dict):
        return ""
    code, signal, kind = whole(exit_.get("code")), whole(exit_.get("signal")), text(exit_.get("kind"))
    words = [f"exit {code}" if code is not None else "", f"signal {signal}" if signal is not None else "", kind or ""]
    culprit = exit_.get("culprit")
    if isinstance(culprit, dict):
        where = f"rank {whole(culprit.get('rank'))}"
        said = ": ".join(part for part in (text(culprit.get("exception")), text(culprit.get("message"))) if part)
        words.append(f"{where}, {said}" if said else where)
    return "; ".join(word for word in words if word)


def _last_row(lines: tuple[str, ...]) -> dict[str, Any]:
    """The last line that is whole. One that is being written is no JSON object yet."""
    rows = (document((line,)) for line in reversed(lines))
    return next((row for row in rows if row is not None and "step" in row), {})


def _straggler(lines: tuple[str, ...], written: Mapping[str, Any]) -> str:
    """The newest event of a slow rank, if it is of this attempt."""
    event = _last_event(lines)
    data = event.get("data")
    if event.get("kind") != "guard.straggler" or event.get("attempt") != written.get("attempt"):
        return ""
    facts = {"rank": whole(event.get("rank")), **(data if isinstance(data, dict) else {})}
    told = ", ".join(f"{text(str(key))} {text(str(value))}" for key, value in facts.items() if value is not None)
    return f"{told}, at step {whole(event.get('step'))}"


def _last_event(lines: tuple[str, ...]) -> dict[str, Any]:
    return next((event for event in (document((line,)) for line in reversed(lines)) if event is not None), {})


def _times(files: Section) -> dict[str, float]:
    """When each file was last changed, by its path below `runs`."""
    rows = (line.split(" ") for line in files.lines)
    told = ((row[0], count(row[1])) for row in rows if len(row) == 3)
    return {path: float(at) for path, at in told if at is not None}


def _lines(parts: Mapping[str, Section], name: str) -> tuple[str, ...]:
    return parts[name].lines if name in parts else ()


def _since(moment: float | None, clock: HostClock) -> float | None:
    return None if moment is None or clock.now is None else max(0.0, clock.now - moment)


def _first(*values: int | None) -> int | None:
    return next((value for value in values if value is not None), None)


def _started(stamp: str) -> float | None:
    try:
        return datetime.strptime(stamp, "%Y%m%d-%H%M%S").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
