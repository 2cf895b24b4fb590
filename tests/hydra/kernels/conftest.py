"""Numbers that the kernel tests share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch


def draw(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Seeded normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.fixture(scope="session")
def normal() -> Callable[..., torch.Tensor]:
    """Draws numbers."""
    return draw
