"""Curves as arrays: taking them out of metric rows, smoothing them, and thinning them to what a screen can show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Series:
    """Values over ascending steps; both arrays are `[points]`. Where a value is not finite the curve breaks."""

    steps: Array
    values: Array

    def __len__(self) -> int:
        return len(self.steps)

    @property
    def finite(self) -> Array:
        """The values that are numbers."""
        return self.values[np.isfinite(self.values)]


def column(rows: Iterable[Mapping[str, object]], name: str) -> Series:
    """One field of metric rows; rows without it, or with something else than a number in it, have no point."""
    pairs = [(row["step"], row[name]) for row in rows if _is_number(row.get(name)) and _is_number(row.get("step"))]
    points = np.array(pairs, dtype=np.float64).reshape(-1, 2)
    return Series(points[:, 0], points[:, 1])


def span_of(points: int) -> int:
    """Steps over which a curve of so many points is smoothed: 2 % of it, between 1 and 200."""
    return min(200, max(1, points // 50))


def smoothed(series: Series, span: int) -> Series:
    """Exponential moving average with time constant `span`, unbiased at the start; it passes over what is not finite.

    Where the raw value is not finite, the smoothed one is NaN, so both curves break at the same place.
    """
    keep = 1.0 - 1.0 / max(span, 1)
    total = weight = 0.0
    result = np.full(len(series), math.nan)
    for index, value in enumerate(series.values.tolist()):
        if math.isfinite(value):
            total = keep * total + (1.0 - keep) * value
            weight = keep * weight + (1.0 - keep)
            result[index] = total / weight
    return Series(series.steps, result)


def thinned(series: Series, low: float, high: float, columns: int) -> Series:
    """At most four points for each of `columns` equal parts of [low, high]: first, lowest, highest and last.

    That draws the same picture as all points: every spike stays, whatever its width. The first point that is not
    finite in a part stays as well, so that gaps do.
    """
    if len(series) <= columns:
        return series
    width = (high - low) / columns or 1.0
    parts = np.clip(((series.steps - low) / width).astype(np.int64), 0, columns - 1)
    starts = np.flatnonzero(np.diff(parts, prepend=-1))
    kept = np.zeros(len(series), dtype=bool)
    for start, end in zip(starts, np.append(starts[1:], len(series)), strict=True):
        kept[_extremes(series.values[start:end]) + start] = True
    return Series(series.steps[kept], series.values[kept])


def _extremes(values: Array) -> NDArray[np.int64]:
    finite = np.isfinite(values)
    chosen = [0, len(values) - 1]
    if finite.any():
        chosen += [int(np.where(finite, values, np.inf).argmin()), int(np.where(finite, values, -np.inf).argmax())]
    if not finite.all():
        chosen.append(int(finite.argmin()))
    return np.array(chosen, dtype=np.int64)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
