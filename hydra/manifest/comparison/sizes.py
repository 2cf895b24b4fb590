"""Sizes of the compared models: parameters and counted FLOPs, and how far apart they may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from hydra.manifest.comparison.violations import Row, Violation
from hydra.manifest.sections import Tolerance


class Size(NamedTuple):
    """What one arm's model costs. Counted from the built model or by its accounting, never estimated."""

    parameters: int
    """All learned numbers, embedding and head included."""
    non_embedding: int
    """Those outside the embedding tables; an untied head counts."""
    flops: float
    """FLOPs per trained token, by one convention for all arms."""


def check_sizes(sizes: Mapping[str, Size], tolerance: Tolerance) -> tuple[Violation, ...]:
    """Violations of the tolerances, each as the share that the smallest arm lacks of the largest one."""
    rows, shares = [], []
    for field, limit in (
        ("parameters", tolerance.params),
        ("non_embedding", tolerance.params),
        ("flops", tolerance.flops),
    ):
        values = {arm: getattr(size, field) for arm, size in sizes.items()}
        share = spread(list(values.values()))
        if share > limit:
            rows.append(Row(field, values))
            shares.append(f"{field} {100 * share:.1f}% (allowed {100 * limit:g}%)")
    return (Violation("model size", f"arms differ: {', '.join(shares)}", tuple(rows)),) if rows else ()


def spread(values: list[float]) -> float:
    """`(largest - smallest) / largest`: what the smallest lacks, as a share; 0 for equal values."""
    largest, smallest = max(values), min(values)
    return (largest - smallest) / largest if largest > smallest else 0.0
