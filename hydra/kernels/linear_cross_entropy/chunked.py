"""Linear cross-entropy by chunks of rows: the same loss without ever holding the logits of all rows.

At 32,768 tokens and a vocabulary of 128,256 the logits alone are 17 GB in fp32. Here one chunk of rows at a time is
multiplied, normalised and differentiated: the gradient of the total is known as soon as the logits are, so it is
computed in the forward pass and only scaled in the backward pass. The head's weight gradient is summed in fp32 across
chunks, because sums in bf16 drift further with every chunk.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import register_flop_formula

from hydra.kernels.precision import widen
from hydra.kernels.registry import count

#: Memory for the logits of one chunk. Smaller chunks read and write the weight gradient more often.
CHUNK_BYTES = 2**30


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, softcap: float | None = None
) -> tuple[Tensor, Tensor]:
    """The op of `reference.py`, by chunks; same arguments, same results up to rounding.

    Differentiable in hidden and weight through the total, once (not twice). Without gradients enabled none is
    computed. hidden [N, D], weight [V, D], targets int64 [N] with -1 ignored.
    """
    wanted = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    total, losses, _, _ = _forward(hidden, weight, targets, softcap, _rows(hidden, weight), wanted)
    return total, losses.detach()


def _rows(hidden: Tensor, weight: Tensor) -> int:
    """Rows per chunk: as many as the memory allows, shared out evenly, so that chunks differ in shape rarely."""
    limit = max(1, CHUNK_BYTES // (weight.shape[0] * (8 if hidden.dtype == torch.float64 else 4)))
    chunks = max(1, -(-hidden.shape[0] // limit))
    return max(1, -(-hidden.shape[0] // chunks))


@torch.library.custom_op("hydra::linear_cross_entropy_chunked", mutates_args=())
def _forward(
    hidden: Tensor, weight: Tensor, targets: Tensor, softcap: float | None, rows: int, gradients: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    count("linear_cross_entropy", "chunked", "forward")
    wide = torch.promote_types(hidden.dtype, torch.float32)
    cast = weight.to(hidden.dtype)
    losses = torch.empty(hidden.shape[0], dtype=wide, device=hidden.device)
    grad_hidden, grad_weight = _gradient_buffers(hidden, weight, gradients)
    for start in range(0, hidden.shape[0], rows):
        part = slice(start, start + rows)
        logits = _product(hidden[part], cast.t())
        losses[part], slope = _row_step(hidden.device.type)(logits, targets[part], softcap, gradients, hidden.dtype)
        if gradients:
            torch.mm(slope, cast, out=grad_hidden[part])
            grad_weight = _accumulated(grad_weight, slope.t(), hidden[part])
    return losses.sum(), losses, grad_hidden, grad_weight


@_forward.register_fake
def _(
    hidden: Tensor, weight: Tensor, targets: Tensor, softcap: float | None, rows: int, gradients: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    losses = hidden.new_empty(hidden.shape[0], dtype=torch.promote_types(hidden.dtype, torch.float32))
    return losses.new_empty(()), losses, *_gradient_buffers(hidden, weight, gradients)


def _gradient_buffers(hidden: Tensor, weight: Tensor, gradients: bool) -> tuple[Tensor, Tensor]:
    wide = torch.promote_types(hidden.dtype, torch.float32)
    if not gradients:
        return hidden.new_empty(0), hidden.new_empty(0, dtype=wide)
    return torch.empty_like(hidden, memory_format=torch.contiguous_format), weight.new_zeros(weight.shape, dtype=wide)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """`a @ b` with an fp32 result (fp64 for fp64), never rounded to bf16 on the way."""
    if a.is_cuda and a.dtype in (torch.bfloat16, torch.float16):
        return torch.mm(a, b, out_dtype=torch.float32)
    return widen(a) @ widen(b)


def _accumulated(total: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """`total + a @ b`, total fp32 (fp64 for fp64); half-precision products are added by the matrix kernel itself."""
    if a.is_cuda and a.dtype in (torch.bfloat16, torch.float16):
        return torch.addmm(total, a, b, out_dtype=torch.float32)
    return total.addmm_(widen(a), widen(b))


def _row_losses(
    logits: Tensor, targets: Tensor, softcap: float | None, gradients: bool, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Loss of each row, and the gradient of their sum with respect to the product, in `dtype`."""
    capped = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    valid = targets >= 0
    safe = targets.clamp_min(0).unsqueeze(-1)
    normaliser = torch.logsumexp(capped, dim=-1)
    losses = torch.where(valid, normaliser - capped.gather(-1, safe).squeeze(-1), 0.0)
    if not gradients:
        return losses, logits.new_empty(0, dtype=dtype)
    columns = torch.arange(logits.shape[-1], device=logits.device)
    slope = torch.exp(capped - normaliser.unsqueeze(-1)) - (columns == safe).to(logits.dtype)
    if softcap is not None:
        slope = slope * (1.0 - (capped / softcap).square())
    return losses, torch.where(valid.unsqueeze(-1), slope, 0.0).to(dtype)


@cache
def _row_step(device: str) -> Any:
    """The row step of a device: fused by the compiler on CUDA, where its passes over the logits are what costs."""
    return torch.compile(_row_losses, fullgraph=True) if device == "cuda" else _row_losses


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    _, _, grad_hidden, grad_weight = output
    ctx.save_for_backward(grad_hidden, grad_weight)
    ctx.weight_type = inputs[1].dtype
    ctx.set_materialize_grads(False)


def _differentiate(ctx: Any, grad_total: Tensor | None, *_: Tensor | None) -> tuple[Tensor | None, ...]:
    grad_hidden, grad_weight = ctx.saved_tensors
    if grad_total is None:
        return None, None, None, None, None, None
    scaled_hidden = (grad_hidden * grad_total).to(grad_hidden.dtype)
    return scaled_hidden, (grad_weight * grad_total).to(ctx.weight_type), None, None, None, None


_forward.register_autograd(_differentiate, setup_context=_keep)


@register_flop_formula(torch.ops.hydra.linear_cross_entropy_chunked)
def _flops(
    hidden_shape: tuple[int, int],
    weight_shape: tuple[int, int],
    targets_shape: tuple[int],
    softcap: float | None,
    rows: int,
    gradients: bool,
    *_: Any,
    **__: Any,
) -> int:
    """Multiply-adds times two of the products: one forward, two more for the gradients."""
    product = 2 * hidden_shape[0] * hidden_shape[1] * weight_shape[0]
    return 3 * product if gradients else product
