"""The page below the curves: what the model wrote, what happened, and what was saved.

Each section has a budget of bytes. A run of a million steps must still give a page that opens at once, so what does not
fit is left out, and the page says how much that is and where all of it can be found.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TypeVar

from hydra.report.blocks import CELL, cut, plain, section, share, table
from hydra.report.contents import CheckpointFiles, Contents
from hydra.report.markup import Markup, tag
from hydra.report.quantities import moment, number, size
from hydra.runs import Event, SampleRow

T = TypeVar("T")

#: Rounds of samples that are shown, samples of each, and bytes of all their texts.
ROUNDS, PER_ROUND, SAMPLE_BYTES = 40, 20, 300_000
#: Events that are shown, and bytes of what they tell.
EVENTS, EVENT_BYTES = 400, 150_000


def samples(rows: Sequence[SampleRow]) -> Markup | None:
    """What the model wrote, the latest round open, earlier ones folded."""
    if not rows:
        return None
    rounds = [(step, list(group)) for step, group in groupby(rows, key=lambda row: row["step"])]
    shown = [(step, group[:PER_ROUND]) for step, group in _spread(rounds, ROUNDS)]
    count = sum(len(group) for _, group in shown)
    note = f"{count} of {len(rows)} texts from {len(shown)} of {len(rounds)} rounds; all are in samples.jsonl."
    latest_first = enumerate(reversed(shown))
    folded = [_round(step, group, SAMPLE_BYTES // count, opened=place == 0) for place, (step, group) in latest_first]
    return section("samples", "Samples", note if count < len(rows) else None, *folded)


def _round(step: int, group: Sequence[SampleRow], budget: int, *, opened: bool) -> Markup:
    return tag("details", tag("summary", f"step {step:,}"), *(_sample(row, budget) for row in group), open=opened)


def _sample(row: SampleRow, budget: int) -> Markup:
    settings = ", ".join(f"{key} {value}" for key, value in row["settings"].items() if value not in ([], None))
    facts = f"{row['set']} {row['prompt_id']} · {row['tokens']} tokens, ended by {row['ended']} · {settings}"
    repetitive = tag("strong", " repeats itself") if row.get("repetitive") else None
    prompt = tag("span", cut(row.get("prompt", ""), budget // 4), class_="prompt")
    return tag(
        "article",
        tag("p", cut(facts, CELL), repetitive, class_="facts"),
        tag("pre", prompt, cut(row["text"], budget)),
        class_="sample",
    )


def events(rows: Sequence[Event]) -> Markup | None:
    """The table of events, latest first."""
    if not rows:
        return None
    shown = _notable(rows)
    note = f"{len(shown)} of {len(rows)}: those that matter most, then the latest; all are in events.jsonl."
    body = [_event(event, share(EVENT_BYTES, len(shown))) for event in reversed(shown)]
    heads = ("#", "time", "attempt", "step", "event", "what it tells")
    return section("events", "Events", note if len(shown) < len(rows) else None, table(heads, body))


def _event(event: Event, budget: int) -> Markup:
    told = ", ".join(f"{key} {plain(value)}" for key, value in event.data.items())
    return tag(
        "tr",
        tag("td", str(event.seq), class_="n"),
        tag("td", tag("time", moment(event.time))),
        tag("td", str(event.attempt), class_="n"),
        tag("td", "" if event.step is None else f"{event.step:,}", class_="n"),
        tag("td", tag("span", cut(event.kind, CELL), class_=f"kind {event.level}")),
        tag("td", cut(told, budget)),
    )


def checkpoints(contents: Contents) -> Markup | None:
    """The checkpoints on the disk, with the bits per byte measured at their steps."""
    if not contents.checkpoints:
        return None
    bits = {row["step"]: row.get("eval.bits_per_byte") for row in contents.rows}
    body = [_checkpoint(checkpoint, bits.get(checkpoint.step)) for checkpoint in reversed(contents.checkpoints)]
    heads = ("step", "size", "bits per byte", "complete", "pointer")
    return section("checkpoints", "Checkpoints", None, table(heads, body))


def _checkpoint(checkpoint: CheckpointFiles, bits: object) -> Markup:
    return tag(
        "tr",
        tag("td", f"{checkpoint.step:,}", class_="n"),
        tag("td", size(checkpoint.size), class_="n"),
        tag("td", number(bits) if isinstance(bits, int | float) else "", class_="n"),
        tag("td", "yes" if checkpoint.complete else "no", class_=None if checkpoint.complete else "bad"),
        tag("td", ", ".join(checkpoint.pointers)),
    )


def _notable(rows: Sequence[Event]) -> list[Event]:
    """At most `EVENTS` of them: the ends of runs and what went wrong before all else, then the latest."""
    important = [event for event in rows if event.level != "info" or event.kind.startswith("run.")][-EVENTS:]
    chosen = {event.seq for event in important}
    rest = [event for event in rows if event.seq not in chosen]
    chosen |= {event.seq for event in rest[max(len(rest) - (EVENTS - len(important)), 0) :]}
    return [event for event in rows if event.seq in chosen]


def _spread(items: Sequence[T], count: int) -> list[T]:
    """At most `count` items, evenly spread, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]
