"""The precision rule that every op shares: statistics and nonlinear steps are computed in fp32, or in fp64 for fp64."""

from __future__ import annotations

import torch
from torch import Tensor


def widen(x: Tensor) -> Tensor:
    """`x` in the type its statistics are computed in: fp32 for bf16, fp16 and fp32 tensors, fp64 for fp64.

    A norm or softmax in bf16 keeps 8 bits of its sums; widening first costs nothing in a fused kernel.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))
