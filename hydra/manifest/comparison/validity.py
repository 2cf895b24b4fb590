"""Whether finished runs may be compared at all: complete, alike, and trained on the same stream."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

from hydra.manifest.comparison.plan import MIN_SEEDS
from hydra.manifest.comparison.records import VERIFIED, EndRecord
from hydra.manifest.comparison.sizes import check_sizes
from hydra.manifest.comparison.violations import Row, Violation
from hydra.manifest.flow import short
from hydra.manifest.identity import canonical_json
from hydra.manifest.sections import Comparison

#: An interval needs a spread, so two seeds are the least even where no fairness is claimed.
_LEAST = 2


def reasons_to_void(
    records: Sequence[EndRecord], comparison: Comparison, metrics: tuple[str, ...]
) -> tuple[Violation, ...]:
    """Why the runs give no result; empty when they do."""
    found = [*_incomplete(records, comparison), *_without_results(records, metrics)]
    if comparison.apples_to_apples:
        found += [*_unlike(records), *_streams(records), *_sizes(records, comparison)]
    return tuple(found)


def _incomplete(records: Sequence[EndRecord], comparison: Comparison) -> list[Violation]:
    found = []
    wanted = [(arm, seed) for arm in comparison.arms for seed in comparison.seeds]
    given = [(record.start.arm, record.start.seed) for record in records]
    least = MIN_SEEDS if comparison.apples_to_apples else _LEAST
    if len(comparison.seeds) < least:
        found.append(Violation("seeds", f"{len(comparison.seeds)} given, at least {least} needed"))
    for text, pairs in (
        ("missing", [pair for pair in wanted if pair not in given]),
        ("not part of the comparison", [pair for pair in given if pair not in wanted]),
        ("given more than once", [pair for pair in dict.fromkeys(given) if given.count(pair) > 1]),
        ("not finished", [_pair(record) for record in records if not record.finished]),
    ):
        if pairs:
            found.append(Violation("runs", f"{text}: {', '.join(f'{arm} with seed {seed}' for arm, seed in pairs)}"))
    return found


def _without_results(records: Sequence[EndRecord], metrics: tuple[str, ...]) -> list[Violation]:
    found = []
    for metric in metrics:
        lacking = [_name(record) for record in records if not math.isfinite(record.metrics.get(metric, math.nan))]
        if lacking:
            found.append(Violation("evaluation", f"no finite {metric} from {', '.join(lacking)}"))
    return found


def _unlike(records: Sequence[EndRecord]) -> list[Violation]:
    """What must be equal in all runs, whatever their arm and seed."""
    found = _equal(
        records,
        ("manifest", "shared settings (hash)", lambda record: record.start.shared_hash),
        ("numerics", "numerics", lambda record: record.start.numerics),
        ("hardware", "hardware", lambda record: record.start.hardware),
        ("code", "commit", lambda record: record.start.commit),
        ("budget", "steps", lambda record: record.steps),
    )
    for group, what, names in (
        ("code", "the working tree was not clean", [_name(r) for r in records if r.start.dirty]),
        ("hardware", "ops were not verified", [_name(r) for r in records if set(r.start.ops.values()) - {VERIFIED}]),
        ("frozen", "steps were skipped", [_name(r) for r in records if r.skipped]),
    ):
        if names:
            found.append(Violation(group, f"{what}: {', '.join(names)}"))
    return found


def _streams(records: Sequence[EndRecord]) -> list[Violation]:
    """Arms of one seed must have seen the same tokens in the same order, and as many of them."""
    found = []
    for seed in sorted({record.start.seed for record in records}):
        same = [record for record in records if record.start.seed == seed]
        if any(not record.stream for record in same):
            found.append(Violation("data", f"seed {seed}: a run recorded no digest of its data"))
            continue
        found += _equal(same, ("budget", f"tokens seen, seed {seed}", lambda record: record.tokens))
        steps = sorted({step for record in same for step in record.stream})
        apart = next((step for step in steps if len({record.stream.get(step) for record in same}) > 1), None)
        if apart is not None:
            values = {record.start.arm: record.stream.get(apart, "no digest") for record in same}
            rows = (Row(f"stream at step {apart}", values),)
            found.append(Violation("data", f"seed {seed}: arms were not trained on the same data", rows))
    return found


def _sizes(records: Sequence[EndRecord], comparison: Comparison) -> Iterable[Violation]:
    sizes = {record.start.arm: record.start.size for record in records}
    return check_sizes(sizes, comparison.tolerance) if sizes else ()


def _equal(records: Sequence[EndRecord], *wanted: tuple[str, str, Callable[[EndRecord], object]]) -> list[Violation]:
    found = []
    for group, name, value_of in wanted:
        values = {_name(record): value_of(record) for record in records}
        if len({canonical_json(value) for value in values.values()}) > 1:
            rows = (Row(name, {run: short(value, 24) for run, value in values.items()}),)
            found.append(Violation(group, f"{name} must be equal in every run", rows))
    return found


def _pair(record: EndRecord) -> tuple[str, int]:
    return record.start.arm, record.start.seed


def _name(record: EndRecord) -> str:
    return f"{record.start.arm}-s{record.start.seed}"
