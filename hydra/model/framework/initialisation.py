"""First values of all parameters, as a pure function of (seed, parameter name, element index).

A counter-based generator turns each element's index into its value, with no state between elements: any slice of any
parameter can be filled alone, in any order, on any number of devices, and equals the slice of the whole. So one GPU
and sixty-four start from the same weights, and no rank ever has to hold the full model to draw them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from hydra.layers.initial import Constant, Distribution, TruncatedNormal

#: Elements drawn at a time; bounds the memory of the integer and fp64 intermediates to about 1 GB.
CHUNK = 2**25
#: Truncation of normal weights, in standard deviations.
LIMIT = 3.0
_SHIFT = -0x61C8864680B583EB  # 2^64 / golden ratio as a signed integer: the increment of splitmix64
_FIRST, _SECOND = -0x40A7B892E31B1A47, -0x6B2FB644ECCEEE15  # its two multipliers, signed


def initialise(model: nn.Module, seed: int) -> None:
    """Fill every parameter of a materialised model with its first values.

    A linear weight, embedding or head is N(0, init_std^2) truncated at 3 init_std; projections into the residual
    stream (attention output, MLP down) have init_std / sqrt(2 L) for L blocks, so that the stream's variance does not
    grow with depth (GPT-2); norm scales are 1. Each module declares its own distributions; a parameter that has none
    raises AssertionError.
    """
    with torch.no_grad():
        for name, parameter, distribution in declared(model):
            fill(parameter.view(-1), distribution, seed, name, 0)


def declared(model: nn.Module) -> Iterator[tuple[str, nn.Parameter, Distribution]]:
    """Every parameter with its full name and the distribution its own module declares for it."""
    for prefix, module in model.named_modules():
        own = dict(module.named_parameters(recurse=False))
        if not own:
            continue
        distributions = module.distributions()
        assert set(own) == set(distributions), f"{type(module).__name__} must declare first values of {sorted(own)}"
        for name, parameter in own.items():
            yield f"{prefix}.{name}" if prefix else name, parameter, distributions[name]


def fill(flat: Tensor, distribution: Distribution, seed: int, name: str, start: int) -> None:
    """Write elements [start, start + len(flat)) of a parameter's flattened first values into `flat`, in place.

    `flat` is one-dimensional, on any device; `name` is the parameter's full name. The same arguments give the same
    bits on the same kind of device (between CPU and CUDA, `erfinv` may differ in the last bit).
    """
    if isinstance(distribution, Constant):
        flat.fill_(distribution.value)
        return
    key = _key(seed, name)
    for offset in range(0, flat.numel(), CHUNK):
        part = flat[offset : offset + CHUNK]
        part.copy_(_truncated_normal(distribution, key, start + offset, part.numel(), flat.device))


def _key(seed: int, name: str) -> int:
    """64 bits that differ between parameters and seeds, signed."""
    digest = hashlib.sha256(f"{seed}:{name}".encode()).digest()
    return int.from_bytes(digest[:8], "little", signed=True)


def _truncated_normal(law: TruncatedNormal, key: int, start: int, count: int, device: torch.device) -> Tensor:
    """Quantiles of the truncated normal at the uniform numbers of these elements, fp64."""
    edge = math.erf(LIMIT / math.sqrt(2))  # probability mass inside the limits
    uniform = _uniform(key, start, count, device)
    return torch.erfinv(uniform.mul_(2 * edge).sub_(edge)).mul_(law.std * math.sqrt(2))


def _uniform(key: int, start: int, count: int, device: torch.device) -> Tensor:
    """Uniform numbers in (0, 1), fp64: splitmix64 of `key + (index + 1) * 2^64 / golden ratio` (Steele et al. 2014)."""
    bits = torch.arange(start + 1, start + count + 1, dtype=torch.int64, device=device).mul_(_SHIFT).add_(key)
    for shift, multiplier in ((30, _FIRST), (27, _SECOND)):
        bits.bitwise_xor_(_shifted(bits, shift)).mul_(multiplier)
    bits.bitwise_xor_(_shifted(bits, 31))
    return _shifted(bits, 11).to(torch.float64).add_(0.5).mul_(2.0**-53)


def _shifted(bits: Tensor, count: int) -> Tensor:
    """Logical shift to the right; torch's own keeps the sign."""
    return bits.bitwise_right_shift(count).bitwise_and_((1 << (64 - count)) - 1)
