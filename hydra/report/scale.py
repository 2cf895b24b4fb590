"""Axes: mapping values to positions, and choosing round numbers for the ticks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hydra.report.series import Array

Kind = Literal["linear", "log"]
_ROUND = (1.0, 2.0, 2.5, 5.0, 10.0)
#: Smaller numbers have no place on a logarithmic axis: what is below is zero, up to rounding.
_LEAST = 1e-30


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps [low, high] to positions [start, end], straight or by the logarithm."""

    kind: Kind
    low: float
    high: float
    start: float
    end: float

    def __call__(self, values: Array) -> Array:
        """Positions of values; those without one (not finite, or not above zero on a log scale) are NaN."""
        shown = np.log10(np.where(values > _LEAST, values, np.nan)) if self.kind == "log" else values
        low, high = (math.log10(self.low), math.log10(self.high)) if self.kind == "log" else (self.low, self.high)
        finite = np.where(np.isfinite(shown), shown, np.nan)
        return self.start + (finite - low) / (high - low) * (self.end - self.start)

    def at(self, value: float) -> float:
        """The position of one value."""
        return float(self(np.array([value]))[0])

    def ticks(self, count: int) -> list[float]:
        """About so many round values inside the range."""
        if self.kind == "log":
            return _decades(self.low, self.high, count)
        return _multiples(self.low, self.high, count)


def fitted(values: Array, kind: Kind, start: float, end: float, *, from_zero: bool = False) -> Scale:
    """A scale on which all finite values lie inside, with a little air; a constant gets a range around itself."""
    shown = values[np.isfinite(values) & (values > _LEAST if kind == "log" else True)]
    low, high = (float(shown.min()), float(shown.max())) if len(shown) else (0.1, 1.0)
    if kind == "log":
        air = max((high / low) ** 0.05, 1.05)
        return Scale(kind, low / air, high * air, start, end)
    if from_zero:
        low = min(low, 0.0)
    air = (high - low) * 0.05 or abs(high) * 0.1 or 1.0
    return Scale(kind, low if from_zero and low == 0 else low - air, high + air, start, end)


def _multiples(low: float, high: float, count: int) -> list[float]:
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in _ROUND if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12 - math.floor(math.log10(step))) for index in range(first, last + 1)]


def _decades(low: float, high: float, count: int) -> list[float]:
    decades = math.log10(high / low)
    mantissas = (1.0, 2.0, 5.0) if decades < 3 else (1.0,)
    every = max(1, round(decades / count))
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1, every)
    found = [m * 10.0**e for e in exponents for m in mantissas if low <= m * 10.0**e <= high]
    return found if len(found) >= 2 else _multiples(low, high, count)
