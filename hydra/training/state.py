"""The training state: everything that may change the next step, and nothing else.

Rebuilt in another process from `tensors()` and `record()`, the next step is the same to the last bit (in `exact` mode).
Schedules and the order of data have no state: both are functions of the step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from hydra.optim import Optimizers
from hydra.training.stream import Stream


@dataclass
class Nonfinite:
    """Which steps were skipped because a loss or gradient was not finite."""

    in_a_row: int = 0
    recent: deque[int] = field(default_factory=deque)
    """Skipped steps among the last 1,000."""

    def note(self, step: int, skipped: bool) -> None:
        """Count one step."""
        self.in_a_row = self.in_a_row + 1 if skipped else 0
        if skipped:
            self.recent.append(step)
        while self.recent and self.recent[0] <= step - 1000:
            self.recent.popleft()


class TrainState:
    """Weights, optimizer, counters and generators of one run."""

    def __init__(self, parameters: list[tuple[str, nn.Parameter]], optimizers: Optimizers, seed: int) -> None:
        self.parameters, self.optimizers, self.seed = parameters, optimizers, seed
        self.step = 0
        """Optimizer steps done, skipped ones included."""
        self.samples = 0
        """Rows consumed."""
        self.tokens = 0
        """Target tokens trained."""
        self.nonfinite = Nonfinite()
        self.stream: Stream | None = None
        """Digest of the data, in runs of a comparison."""

    def tensors(self) -> dict[str, Tensor]:
        """All tensors by name, sharing storage with what trains; generators are copies."""
        found = {f"model.{name}": value.detach() for name, value in self.parameters}
        found |= {f"optimizer.{name}": value for name, value in self.optimizers.state_tensors().items()}
        found["rng.cpu"] = torch.get_rng_state()
        if torch.cuda.is_initialized():
            found["rng.cuda"] = torch.cuda.get_rng_state()
        return found

    def record(self) -> dict[str, Any]:
        """Everything that is not a tensor, as JSON."""
        return {
            "step": self.step,
            "samples": self.samples,
            "tokens": self.tokens,
            "seed": self.seed,
            "stream": self.stream.state if self.stream is not None else None,
            "nonfinite": {"in_a_row": self.nonfinite.in_a_row, "recent": list(self.nonfinite.recent)},
        }

    def restore(self, record: dict[str, Any], tensors: dict[str, Tensor]) -> None:
        """Take over a stored state whose tensors were loaded in place into `tensors()`."""
        self.step, self.samples, self.tokens = record["step"], record["samples"], record["tokens"]
        guard = record["nonfinite"]
        self.nonfinite = Nonfinite(guard["in_a_row"], deque(guard["recent"]))
        if self.stream is not None:
            self.stream = Stream(record["stream"])
        torch.set_rng_state(tensors["rng.cpu"].cpu())
        if "rng.cuda" in tensors:
            torch.cuda.set_rng_state(tensors["rng.cuda"].cpu())
