"""AdamW in plain PyTorch: the definition that every implementation of this op must match."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class Settings(NamedTuple):
    """The numbers of one update."""

    lr: float
    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float
    step: int  # updates done, this one included


def adamw(
    parameter: Tensor, gradient: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, settings: Settings
) -> tuple[Tensor, Tensor, Tensor]:
    """New parameter and moments (arXiv:1711.05101); nothing is changed in place.

    `m = b1 m + (1-b1) g`, `v = b2 v + (1-b2) g^2`,
    `p = p (1 - lr wd) - lr (m / (1-b1^t)) / (sqrt(v / (1-b2^t)) + epsilon)`.
    """
    lr, beta1, beta2, epsilon, weight_decay, step = settings
    first = beta1 * exp_avg + (1 - beta1) * gradient
    second = beta2 * exp_avg_sq + (1 - beta2) * gradient.square()
    direction = (first / (1 - beta1**step)) / ((second / (1 - beta2**step)).sqrt() + epsilon)
    return parameter * (1 - lr * weight_decay) - lr * direction, first, second
