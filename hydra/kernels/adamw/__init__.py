"""The AdamW update (arXiv:1711.05101), which on every device is torch's fused one.

It is listed among the ops so that the report names it and the self-check runs it.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.adamw import adamw as torch_adamw

from hydra.kernels.adamw.reference import Settings, adamw
from hydra.kernels.cases import Case, normal
from hydra.kernels.registry import Choice
from hydra.kernels.uses import Use

_SETTINGS = Settings(lr=3e-3, beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1, step=3)


def use() -> Use:
    """The optimizer's row in a report: torch's fused AdamW on fp32 weights."""
    choice = Choice("adamw", "torch-fused", "fp32 weights and moments", {})
    return Use("adamw", choice.why, choice, _case, directions=("step",))


def _case(device: torch.device) -> Case:
    tensors = [normal((33,), device, torch.float32, seed) for seed in range(4)]
    tensors[3] = tensors[3].abs()

    def reference(*parts: Tensor) -> tuple[Tensor, ...]:
        parameter, gradient, first, second = parts
        return adamw(parameter, gradient, first, second, _SETTINGS)

    return Case(tuple(tensors), _fused, reference, backward=False)


@torch.no_grad()
def _fused(*parts: Tensor) -> tuple[Tensor, ...]:
    parameter, gradient, first, second = (part.detach().clone() for part in parts)
    lr, beta1, beta2, epsilon, weight_decay, step = _SETTINGS
    torch_adamw(
        [parameter],
        [gradient],
        [first],
        [second],
        [],
        [torch.tensor(float(step - 1), device=parameter.device)],
        fused=True,
        amsgrad=False,
        beta1=beta1,
        beta2=beta2,
        lr=lr,
        weight_decay=weight_decay,
        eps=epsilon,
        maximize=False,
    )
    return parameter, first, second


__all__ = ["adamw", "Settings", "use"]
