"""Learning-rate schedules: closed forms of the absolute step, as a factor on each rule's peak learning rate.

A schedule has no state, so a resumed run cannot disagree with an unbroken one. For a run of N steps s = 0 .. N-1 with
W warm-up steps:

- **Warm-up** (s < W): `(s+1) / W`. It rises strictly and reaches exactly 1 at s = W-1. `min_ratio` never lifts it.
- **Decay** from the last step at the peak, s = a, to the last step of the run: with `x = (s-a) / (N-1-a)` and
  r = `min_ratio` the factor is `r + (1-r) tail(x)`, where tail(0) = 1 and tail(1) = 0. So step a has exactly 1 and
  step N-1 exactly r. `cosine` and `linear` have a = W-1 (0 without warm-up); `wsd` has a = N-1-D, where D is
  `decay_fraction` of N rounded (at least 1 unless the fraction is 0), and never starts before the warm-up has ended.
- Where no step is left for a decay (W = N, or N = 1), the schedule ends at the peak.

With r = 0 the last step is therefore taken with a learning rate of 0: it is evaluated and counted, and moves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from hydra.manifest.section import Kind
from hydra.optim.config import ConstantSchedule, CosineSchedule, LinearSchedule, WsdSchedule

#: Decay forms on [0, 1]: from 1 down to exactly 0.
TAILS: dict[str, Callable[[float], float]] = {
    "linear": lambda x: 1.0 - x,
    "sqrt": lambda x: 1.0 - math.sqrt(x),
    "cosine": lambda x: (1.0 + math.cos(math.pi * x)) / 2.0,
}


def factor(schedule: Kind, step: int, total_steps: int) -> float:
    """Share of the peak learning rate at `step` (0-based) of a run of `total_steps` steps; 0 to 1.

    Raises TypeError for a schedule of another kind; `step` outside of the run is a mistake of the caller.
    """
    assert 0 <= step < total_steps, f"step {step} is outside of a run of {total_steps} steps"
    match schedule:
        case WsdSchedule():
            anchor = total_steps - 1 - _decay_steps(schedule.decay_fraction, total_steps)
            return _shape(step, total_steps, schedule.warmup_steps, anchor, schedule.shape, schedule.min_ratio)
        case CosineSchedule():
            return _shape(step, total_steps, schedule.warmup_steps, 0, "cosine", schedule.min_ratio)
        case LinearSchedule():
            return _shape(step, total_steps, schedule.warmup_steps, 0, "linear", schedule.min_ratio)
        case ConstantSchedule():
            return _shape(step, total_steps, schedule.warmup_steps, total_steps - 1, "linear", 1.0)
        case _:
            raise TypeError(f"{type(schedule).__name__} is no schedule")


def _decay_steps(fraction: float, total_steps: int) -> int:
    return 0 if fraction == 0 else max(1, round(fraction * total_steps))


def _shape(step: int, total_steps: int, warmup: int, anchor: int, tail: str, min_ratio: float) -> float:
    """Warm-up, then the peak up to and including step `anchor`, then the tail."""
    if step < warmup:
        return (step + 1) / warmup
    anchor = max(anchor, warmup - 1, 0)
    if step <= anchor:
        return 1.0
    return min_ratio + (1.0 - min_ratio) * TAILS[tail]((step - anchor) / (total_steps - 1 - anchor))
