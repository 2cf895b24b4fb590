"""Small models and rules that the optimizer tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from hydra.optim.config import AdamWConfig

Named = list[tuple[str, nn.Parameter]]


def make_rule(**changes: Any) -> AdamWConfig:
    return AdamWConfig.model_validate({"kind": "adamw", "lr": 1e-2, **changes})


def make_parameters(seed: int = 0) -> Named:
    """Sizes around the edges of vectorised kernels: 1, 31, an odd matrix, a norm scale."""
    generator = torch.Generator().manual_seed(seed)
    shapes = {"embedding.weight": (31, 7), "blocks.0.linear.weight": (8, 5), "norm.scale": (31,), "bias": (1,)}
    return [(name, nn.Parameter(torch.randn(shape, generator=generator))) for name, shape in shapes.items()]


def give_gradients(parameters: Named, seed: int) -> None:
    generator = torch.Generator().manual_seed(1000 + seed)
    for _, parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


@pytest.fixture
def rule() -> Callable[..., AdamWConfig]:
    return make_rule


@pytest.fixture
def parameters() -> Named:
    return make_parameters()


@pytest.fixture
def fresh_parameters() -> Callable[..., Named]:
    return make_parameters


@pytest.fixture
def gradients() -> Callable[[Named, int], None]:
    return give_gradients
