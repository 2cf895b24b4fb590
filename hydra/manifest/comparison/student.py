"""Paired differences: mean and confidence interval by Student's t distribution.

With three seeds the normal distribution would make intervals less than half as wide as they must be. The distribution
function for a whole number of degrees of freedom is a finite sum (Abramowitz and Stegun, 26.7.3 and 26.7.4).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """Mean of paired differences and where the true mean lies with 95% confidence."""

    mean: float
    low: float
    high: float


def interval(differences: Sequence[float], confidence: float = CONFIDENCE) -> Interval:
    """Mean and confidence interval of at least two differences."""
    mean = statistics.fmean(differences)
    error = statistics.stdev(differences) / math.sqrt(len(differences))
    half = quantile(0.5 + confidence / 2, len(differences) - 1) * error
    return Interval(mean, mean - half, mean + half)


def quantile(probability: float, freedom: int) -> float:
    """The value below which a t-distributed number lies with a probability from 0.5 to below 1."""
    low, high = 0.0, 1.0
    while below(high, freedom) < probability:
        high *= 2
    # Bisection to the last bit: 200 halvings are more than a float has.
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if below(middle, freedom) < probability else (low, middle)
    return high


def below(value: float, freedom: int) -> float:
    """Probability that a t-distributed number with whole degrees of freedom lies below a value of 0 or more."""
    angle = math.atan(value / math.sqrt(freedom))
    cosine = math.cos(angle)
    term, total = 1.0, 0.0
    if freedom % 2:
        term = cosine
        for k in range(1, freedom // 2 + 1):
            total += term
            term *= cosine**2 * 2 * k / (2 * k + 1)
        central = 2 / math.pi * (angle + math.sin(angle) * total)
    else:
        for k in range(1, freedom // 2 + 1):
            total += term
            term *= cosine**2 * (2 * k - 1) / (2 * k)
        central = math.sin(angle) * total
    return 0.5 + central / 2
