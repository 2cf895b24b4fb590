"""The end of a comparison: valid and with results, or void and with reasons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from hydra.errors import ComparisonError
from hydra.manifest.comparison.records import EndRecord
from hydra.manifest.comparison.student import Interval, interval
from hydra.manifest.comparison.validity import reasons_to_void
from hydra.manifest.comparison.violations import Violation, error_of
from hydra.manifest.sections import Comparison

Outcome = Literal["better", "worse", "not distinguishable"]
#: Held-out results and the direction in which they improve.
METRICS: dict[str, Literal["lower", "higher"]] = {"eval.bits_per_byte": "lower"}


@dataclass(frozen=True)
class Finding:
    """One arm against the baseline by one metric: differences paired by seed, their mean and its 95% interval."""

    metric: str
    arm: str
    baseline: str
    differences: Mapping[int, float]
    interval: Interval
    outcome: Outcome


@dataclass(frozen=True)
class Verdict:
    """What a comparison showed, or why it showed nothing."""

    void: tuple[Violation, ...]
    findings: tuple[Finding, ...]
    fair: bool
    """Whether equal conditions were demanded and held."""

    @property
    def exit_code(self) -> int:
        """0 for a comparison with results; that of `ComparisonError` for a void one."""
        return ComparisonError.exit_code if self.void else 0

    def table(self) -> list[list[str]]:
        """Header and rows for people. Raises ComparisonError for a void comparison: it has no results."""
        if self.void:
            raise error_of(self.void, "it is void and has no results")
        rows = [["metric", "arm", "against", "mean difference", "95% interval", "seeds", "verdict"]]
        for it in self.findings:
            bounds = f"[{it.interval.low:+.5g}, {it.interval.high:+.5g}]"
            counted = str(len(it.differences))
            rows.append([it.metric, it.arm, it.baseline, f"{it.interval.mean:+.5g}", bounds, counted, it.outcome])
        return rows


def compare_runs(
    records: Sequence[EndRecord],
    comparison: Comparison,
    metrics: Mapping[str, Literal["lower", "higher"]] = METRICS,
) -> Verdict:
    """Judge the finished runs of a comparison; nothing is judged unless every arm finished with every seed.

    The first arm of `comparison.arms` is the baseline. Where no equal conditions were claimed, only completeness is
    demanded, and the verdict says so in `fair`.
    """
    void = reasons_to_void(records, comparison, tuple(metrics))
    if void:
        return Verdict(void, (), fair=False)
    results = {(record.start.arm, record.start.seed): record.metrics for record in records}
    baseline, *others = comparison.arms
    findings = []
    for metric, direction in metrics.items():
        for arm in others:
            differences = {
                seed: results[arm, seed][metric] - results[baseline, seed][metric] for seed in comparison.seeds
            }
            bounds = interval(list(differences.values()))
            findings.append(Finding(metric, arm, baseline, differences, bounds, _outcome(bounds, direction)))
    return Verdict((), tuple(findings), fair=comparison.apples_to_apples)


def _outcome(bounds: Interval, direction: Literal["lower", "higher"]) -> Outcome:
    assert math.isfinite(bounds.mean), "results are checked to be finite"
    if bounds.low <= 0 <= bounds.high:
        return "not distinguishable"
    return "better" if (bounds.mean < 0) == (direction == "lower") else "worse"
