"""AdamW (arXiv:1711.05101) with fp32 weights and moments, as one fused launch per group.

    m = b1 m + (1-b1) g         p = p (1 - lr wd) - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + epsilon)
    v = b2 v + (1-b2) g^2

It calls `torch.optim.adamw.adamw`, the functional form of `torch.optim.AdamW(fused=True)`, because there the state and
`found_inf` are arguments: the state exists from the start under names of ours (a checkpoint then always holds the same
set), and a withheld step does not rest on attributes that torch's gradient scaler sets on optimizers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from hydra.errors import Unsupported
from hydra.optim.config import AdamWConfig
from hydra.optim.table import Row

#: Where torch has a fused AdamW that takes the learning rate and `found_inf` as tensors.
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class Slot:
    """One parameter and its state; `step` counts its updates for the bias correction."""

    name: str
    parameter: nn.Parameter
    exp_avg: Tensor
    exp_avg_sq: Tensor
    step: Tensor

    def state(self) -> dict[str, Tensor]:
        """The state tensors by name."""
        return {f"{self.name}.{kind}": getattr(self, kind) for kind in ("exp_avg", "exp_avg_sq", "step")}


class AdamW:
    """The parameters of one rule: those with `decay_min_ndim` or more dimensions are decayed, the others are not.

    State is created here, all zeros. A parameter without a gradient is left alone in that step: weight, moments and
    counter keep their bits. Raises Unsupported for a dtype or device that the fused kernel does not take.
    """

    def __init__(self, config: AdamWConfig, parameters: Sequence[tuple[str, nn.Parameter]]) -> None:
        self._config = config
        slots = [_slot(name, parameter) for name, parameter in parameters]
        self._groups = [
            (config.weight_decay, [slot for slot in slots if slot.parameter.ndim >= config.decay_min_ndim]),
            (0.0, [slot for slot in slots if slot.parameter.ndim < config.decay_min_ndim]),
        ]
        self._lr = torch.tensor(config.lr, dtype=torch.float32, device=slots[0].parameter.device)

    def set_factor(self, factor: float) -> None:
        """Set the learning rate to `factor` times the peak; a launch on the device, no synchronisation."""
        self._lr.fill_(self._config.lr * factor)

    def step(self, found_inf: Tensor | None) -> None:
        """Update every parameter that has a gradient, unless `found_inf` holds 1 on the device."""
        for decay, slots in self._groups:
            if active := [slot for slot in slots if slot.parameter.grad is not None]:
                self._update(decay, active, found_inf)

    @torch.no_grad()
    def _update(self, decay: float, slots: list[Slot], found_inf: Tensor | None) -> None:
        adamw(
            [slot.parameter for slot in slots],
            [slot.parameter.grad for slot in slots if slot.parameter.grad is not None],
            [slot.exp_avg for slot in slots],
            [slot.exp_avg_sq for slot in slots],
            [],
            [slot.step for slot in slots],
            fused=True,
            found_inf=found_inf,
            amsgrad=False,
            beta1=self._config.betas[0],
            beta2=self._config.betas[1],
            lr=self._lr,
            weight_decay=decay,
            eps=self._config.epsilon,
            maximize=False,
        )

    def state_tensors(self) -> dict[str, Tensor]:
        """The state by name: `<parameter>.exp_avg`, `.exp_avg_sq`, `.step`; the very tensors that `step` uses."""
        slots = [slot for _, group in self._groups for slot in group]
        return {name: tensor for slot in slots for name, tensor in slot.state().items()}

    def table(self) -> list[Row]:
        """One row for the decayed parameters, one for the others; an empty one is left out."""
        pattern = ", ".join(self._config.match)
        if self._config.ndim is not None:
            pattern += f" (ndim {self._config.ndim})"
        return [
            Row(pattern, len(slots), sum(slot.parameter.numel() for slot in slots), "adamw", self._config.lr, decay)
            for decay, slots in self._groups
            if slots
        ]


def _slot(name: str, parameter: nn.Parameter) -> Slot:
    if parameter.dtype != torch.float32 or parameter.device.type not in DEVICES:
        raise Unsupported(
            f"adamw cannot train {name!r}: it is {parameter.dtype} on {parameter.device}",
            why="its fused kernel updates fp32 weights on cpu or cuda, and no slower path is ever taken instead",
            fix="keep the weights in fp32 and move the model to its device before building the optimizer",
            example="model.to(device='cuda', dtype=torch.float32)",
        )
    return Slot(
        name,
        parameter,
        exp_avg=torch.zeros_like(parameter, requires_grad=False),
        exp_avg_sq=torch.zeros_like(parameter, requires_grad=False),
        step=torch.zeros((), dtype=torch.float32, device=parameter.device),
    )
