"""Xid errors, which the NVIDIA driver writes to the kernel log: found, dated, and told apart by the table in xid.json.

Some say that a card is broken, some that a program on it did something wrong. The second kind marks the run that was
on the card and never the host: a host taken out of use for a program's mistake is the costlier error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Final, Literal

from fleet.health.finding import Finding, Health
from fleet.health.gpus import Gpu
from fleet.health.runs import RunSummary
from fleet.health.sections import Section
from fleet.health.values import printable

XidState = Literal["failure", "warning", "application", "ignored"]
_LINE: Final = re.compile(
    r"^(?:\[ *(?P<since_boot>[0-9]+\.[0-9]+)\])?.*?"
    r"NVRM: Xid \((?:PCI:)?(?P<bus>[0-9a-fA-F]{4,8}:[0-9a-fA-F]{2}:[0-9a-fA-F]{2})(?:\.[0-9])?\): "
    r"(?P<code>[0-9]{1,4})\b"
)
_UNREADABLE: Final = "not readable"


@dataclass(frozen=True, slots=True)
class Xid:
    """One line of the kernel log."""

    code: int
    bus: str
    age: float | None
    """Seconds ago, by the host's uptime; None if the line does not say."""
    line: str


@dataclass(frozen=True, slots=True)
class XidRule:
    """What a code means."""

    state: XidState
    name: str
    action: str
    """What the vendor recommends to do at once."""


@cache
def xid_table() -> dict[int, XidRule]:
    """The table, by code."""
    return {int(code): XidRule(**row) for code, row in _data()["xids"].items()}


def rule_of(code: int) -> XidRule:
    """What a code means; one that the table does not know yet is worth a warning."""
    return xid_table().get(code) or XidRule(_data()["unlisted"], "not in the table", "look it up in the catalogue")


def read_xids(section: Section, uptime: float | None) -> tuple[Xid, ...]:
    """The Xid errors in the lines of a kernel log."""
    found = []
    for line in section.lines:
        match = _LINE.match(line)
        if match is None:
            continue
        at = match["since_boot"]
        age = None if at is None or uptime is None else max(0.0, uptime - float(at))
        found.append(Xid(int(match["code"]), match["bus"].lower(), age, printable(line)))
    return tuple(found)


def xid_findings(
    section: Section, gpus: Sequence[Gpu], runs: Sequence[RunSummary], now: float | None, uptime: float | None
) -> Iterator[Finding]:
    """What the kernel log says of the cards and of the runs on them; nothing if the log was not asked for."""
    if _UNREADABLE in section.lines:
        yield Finding("gpu.xid", "healthy", "the kernel log is not readable by this user, so Xid errors are not seen")
    by_kind: dict[tuple[int, str], list[Xid]] = {}
    for xid in read_xids(section, uptime):
        by_kind.setdefault((xid.code, xid.bus), []).append(xid)
    for (code, bus), seen in by_kind.items():
        gpu = next((gpu for gpu in gpus if _same_slot(gpu.bus, bus)), None)
        if (finding := _finding(rule_of(code), seen, gpu, runs, now)) is not None:
            yield finding


def _finding(
    rule: XidRule, seen: Sequence[Xid], gpu: Gpu | None, runs: Sequence[RunSummary], now: float | None
) -> Finding | None:
    newest = seen[-1]
    place = f"PCI {newest.bus}" if gpu is None else f"GPU {gpu.index} (PCI {newest.bus})"
    often = "" if len(seen) == 1 else f", {len(seen)} times since boot"
    ago = "" if newest.age is None else f", {_duration(newest.age)} ago"
    evidence = f"Xid {newest.code} {rule.name} on {place}{ago}{often}: {newest.line}"
    index = None if gpu is None else gpu.index
    if rule.state == "ignored":
        return None
    if rule.state == "application":
        run = _run_on(gpu, runs, newest, now)
        state: Health = "healthy" if run is None else "warning"
        note = "caused by a program, not by the card"
        return Finding("gpu.xid", state, f"{evidence} ({note})", gpu=index, run=run, fix="look at that program's log")
    return Finding("gpu.xid", rule.state, evidence, gpu=index, fix=f"the vendor recommends {rule.action}")


def _run_on(gpu: Gpu | None, runs: Sequence[RunSummary], xid: Xid, now: float | None) -> str | None:
    """The run that was on the card at that time: it has the card and had begun."""
    for run in runs:
        begun = None if run.started is None or now is None else now - run.started
        before = xid.age is not None and begun is not None and xid.age > begun
        if gpu is not None and gpu.uuid in run.gpus and not before:
            return run.id
    return None


def _same_slot(one: str, other: str) -> bool:
    """Whether two PCI addresses mean one card: the kernel writes a shorter domain and no function."""
    return _slot(one) == _slot(other) is not None


def _slot(bus: str) -> tuple[int, int, int] | None:
    match = re.fullmatch(r"([0-9a-fA-F]{4,8}):([0-9a-fA-F]{2}):([0-9a-fA-F]{2})(?:\.[0-9])?", bus)
    return None if match is None else (int(match[1], 16), int(match[2], 16), int(match[3], 16))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"


@cache
def _data() -> dict[str, Any]:
    data: dict[str, Any] = json.loads((files("fleet.health") / "xid.json").read_text(encoding="utf-8"))
    return data
