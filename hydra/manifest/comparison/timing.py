"""Step times of compared runs, by one rule for all of them."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from hydra.manifest.comparison.records import StepTime

#: Compilation, autotuning and cold caches end well within these steps.
WARM_UP_STEPS = 20


def step_time(milliseconds: Sequence[float]) -> StepTime | None:
    """Median and quartiles of the steps after the warm-up; None when too few are left to have quartiles."""
    measured = milliseconds[WARM_UP_STEPS:]
    if len(measured) < 2:
        return None
    first, median, third = statistics.quantiles(measured, n=4, method="inclusive")
    return StepTime(median=median, quartiles=(first, third), steps=len(measured))
