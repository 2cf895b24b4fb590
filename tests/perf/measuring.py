"""What every measurement of `fleet` shares: timed series, comparison in the same minute, targets, one table at the end.

A script adds series and counts to a `Sheet`, each with its target if it has one. `Sheet.finish` prints a markdown table
of every number, writes JSON on request and returns the exit status: 1 when a target is missed, with the number.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the series lies, interpolated between neighbours; `share` is 0 to 1."""
    if not values:
        raise ValueError("no values to take a percentile of")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low, high = math.floor(place), math.ceil(place)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(frozen=True)
class Target:
    """What a number must reach. `slack` stretches limits of time and rate, never counts."""

    statistic: str
    """`p50`, `p95`, `p99`, `max`, `min` or `value`, the last for a single number."""
    at_most: float | None = None
    at_least: float | None = None
    exact: bool = False
    """A count: no slack on a slow machine."""

    def limits(self, slack: float) -> tuple[float | None, float | None]:
        """(at most, at least) on a machine that may be slower by this factor."""
        factor = 1.0 if self.exact else slack
        most = None if self.at_most is None else self.at_most * factor
        return most, None if self.at_least is None else self.at_least / factor

    def met(self, value: float, slack: float) -> bool:
        """Whether the number is good enough."""
        most, least = self.limits(slack)
        return (most is None or value <= most) and (least is None or value >= least)

    def text(self, slack: float) -> str:
        """The target as the table shows it."""
        most, least = self.limits(slack)
        parts = [f"≤ {shown(most)}" if most is not None else "", f"≥ {shown(least)}" if least is not None else ""]
        return f"{self.statistic} " + " ".join(part for part in parts if part)


@dataclass
class Row:
    """One line of the table: a series, or a single number."""

    name: str
    unit: str
    values: list[float]
    target: Target | None
    load: tuple[float, float, float] = field(default_factory=os.getloadavg)

    def statistics(self) -> dict[str, float]:
        """The figures of the series; a single number is its own `value`."""
        if len(self.values) == 1:
            return dict.fromkeys(("value", "p50", "p95", "p99", "min", "max"), self.values[0])
        figures = {f"p{round(share * 100)}": percentile(self.values, share) for share in (0.5, 0.95, 0.99)}
        return {**figures, "min": min(self.values), "max": max(self.values)}


class Sheet:
    """The numbers of one script."""

    def __init__(self, title: str, slack: float = 1.0) -> None:
        self.title, self._slack = title, slack
        self.rows: list[Row] = []
        self._started = time.time()

    def series(self, name: str, values: Sequence[float], unit: str, target: Target | None = None) -> None:
        """Add measured values."""
        self._add(Row(name, unit, list(values), target))

    def number(self, name: str, value: float, unit: str, target: Target | None = None) -> None:
        """Add a single number, such as a ratio of two medians."""
        self._add(Row(name, unit, [value], target))

    def count(self, name: str, value: int, of: int, *, at_most: int | None = None, at_least: int | None = None) -> None:
        """Add how often something happened; the machine's speed excuses nothing here."""
        self._add(Row(name, f"of {of}", [value], Target("value", at_most, at_least, exact=True)))

    def ratio(self, name: str, ours: Sequence[float], theirs: Sequence[float], target: Target | None = None) -> None:
        """Add the ratio of two medians that were measured in the same minute."""
        self.number(name, percentile(ours, 0.5) / percentile(theirs, 0.5), "×", target)

    def missed(self) -> list[str]:
        """The targets that were missed, each with its number."""
        found = []
        for row in self.rows:
            if row.target is None:
                continue
            value = row.statistics()[row.target.statistic]
            if not row.target.met(value, self._slack):
                found.append(f"{row.name}: {shown(value)} {row.unit}, and the target is {row.target.text(self._slack)}")
        return found

    def markdown(self) -> str:
        """The table."""
        heads = ["what", "runs", "p50", "p95", "p99", "min", "max", "unit", "target", "load"]
        lines = [f"## {self.title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
        for row in self.rows:
            figures = row.statistics()
            single = len(row.values) == 1
            numbers = [shown(figures[key]) if not single or key == "p50" else "" for key in heads[2:7]]
            target = row.target.text(self._slack) if row.target else ""
            cells = [row.name, str(len(row.values)), *numbers, row.unit, target, f"{row.load[0]:.2f}"]
            lines.append("| " + " | ".join(cells) + " |")
        return "\n".join(lines)

    def finish(self, target: Path | None = None) -> int:
        """Print the table, write JSON if a file is named, and return the exit status."""
        missed = self.missed()
        print(self.markdown())
        print(f"\n{os.cpu_count()} processors, {time.time() - self._started:.0f} s; slack {self._slack:g}")
        for line in missed:
            print(f"missed: {line}", file=sys.stderr)
        if target is not None:
            target.write_text(json.dumps(self.to_json(), indent=1) + "\n")
        return int(bool(missed))

    def to_json(self) -> dict[str, object]:
        """Every number, with the raw values."""
        rows = [{**asdict(row), "statistics": row.statistics()} for row in self.rows]
        return {
            "title": self.title,
            "started": self._started,
            "slack": self._slack,
            "rows": rows,
            "missed": self.missed(),
        }

    def _add(self, row: Row) -> None:
        if not row.values:
            raise ValueError(f"{row.name}: nothing was measured")
        self.rows.append(row)
        figures = row.statistics()
        shape = "" if len(row.values) == 1 else f" (p95 {shown(figures['p95'])}, {len(row.values)} runs)"
        print(f"{row.name}: {shown(figures['p50'])} {row.unit}{shape}", file=sys.stderr, flush=True)


def shown(value: float) -> str:
    """Four significant digits, without an exponent."""
    if value == int(value) and abs(value) < 1e9:
        return str(int(value))
    return f"{value:.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"


def seconds(action: Callable[[], object]) -> float:
    """How long it takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def interleaved(actions: Mapping[str, Callable[[], object]], count: int, warm: int = 1) -> dict[str, list[float]]:
    """Milliseconds of each action, measured in turn and in changing order, so that they share the machine's moods."""
    times: dict[str, list[float]] = {name: [] for name in actions}
    order = list(actions)
    for round_number in range(warm + count):
        random.shuffle(order)
        for name in order:
            taken = seconds(actions[name]) * 1e3
            if round_number >= warm:
                times[name].append(taken)
    return times


def parser(description: str | None, count: int) -> argparse.ArgumentParser:
    """The options that every script has; `count` is the full number of runs."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=count, metavar="N", help=f"how many runs (full: {count})")
    options.add_argument("--json", type=Path, metavar="FILE", help="also write every number there")
    options.add_argument("--seed", type=int, default=None, metavar="N", help="for what is random; printed if absent")
    options.add_argument(
        "--slack", type=float, default=1.0, metavar="F", help="factor on limits of time, for a machine that is shared"
    )
    return options


def begin(seed: int | None) -> int:
    """Begin: seed what is random, say with what, and end in order when asked to."""
    chosen = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    # Ended from outside, it still takes its farm down.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    random.seed(chosen)
    print(f"--seed {chosen}", file=sys.stderr)
    return chosen
