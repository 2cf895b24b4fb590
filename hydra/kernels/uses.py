"""What a module says about the ops it runs, so that a report can be made from the model that was really built."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from hydra.kernels.cases import Case
from hydra.kernels.registry import Choice


@dataclass(frozen=True)
class Use:
    """One op a module calls.

    `detail` holds the shape facts worth reading. A module that chose an implementation itself gives its `choice` and
    a `case` that runs it on a device; elementwise ops need neither.
    """

    op: str
    detail: str
    choice: Choice | None = None
    case: Callable[[torch.device], Case] | None = None
    directions: tuple[str, ...] = ("forward", "backward")


class Modules(Protocol):
    """Anything that holds modules, such as a model."""

    def modules(self) -> Iterator[nn.Module]:
        """It and all modules in it, each once."""


def uses(model: Modules) -> Iterator[Use]:
    """Every use of every module below `model`, in the order of the modules; equal ones repeat."""
    for module in model.modules():
        declared = getattr(module, "uses", None)
        if declared is not None:
            yield from declared()
