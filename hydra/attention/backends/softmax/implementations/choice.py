"""The choice of the attention core: which implementations can run a spec, in order of speed, and why not the others."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from hydra.attention.backends.softmax.config import SoftmaxConfig
from hydra.attention.backends.softmax.implementations.core import Core
from hydra.attention.backends.softmax.implementations.dense import Dense
from hydra.attention.backends.softmax.implementations.flex import Flex
from hydra.attention.backends.softmax.implementations.sdpa import CpuSdpa, causal, probe
from hydra.kernels import Candidate, Choice, Facts, select

OP = "attention"
_HALF = (torch.bfloat16, torch.float16)
#: Smallest head width FlexAttention's kernel has tiles for.
_FLEX_WIDTH = 16


def choose(config: SoftmaxConfig, window: int | None, facts: Facts, pins: Mapping[str, str]) -> tuple[Choice, Core]:
    """The implementation for a spec on a device, and the choice with the reasons against those before it.

    `window` is the one in effect: None where the configured one is as long as the context. Raises Unsupported when a
    pin cannot be honoured or nothing but the reference is left on CUDA.
    """
    expands: dict[str, bool] = {}
    shape = _shape(config, window, facts)
    candidates = [
        *(Candidate(name, _causal_refusal(name, config, window, facts, expands), shape) for name in _CAUSAL),
        Candidate("flex", _flex_refusal(config, facts), shape),
        Candidate("sdpa", None if facts.device == "cpu" else "the dense mask form is for the CPU", shape),
        Candidate("reference", None, shape),
    ]
    choice = select(OP, candidates, facts, pins)
    return choice, _core(choice.implementation, config.head_width**-0.5, window, expands)


_CAUSAL = ("cudnn", "flash", "efficient")


def _core(name: str, scale: float, window: int | None, expands: Mapping[str, bool]) -> Core:
    if name in _CAUSAL:
        return causal(name, scale, expands[name])
    if name == "flex":
        return Flex(scale, window)
    return CpuSdpa(scale, window) if name == "sdpa" else Dense(scale, window)


def _shape(config: SoftmaxConfig, window: int | None, facts: Facts) -> str:
    form = str(facts.compute).removeprefix("torch.")
    parts = [form, f"heads {config.heads}/{config.kv_heads}x{config.head_width}"]
    parts += ["documents"] if facts.masked else []
    parts += [f"window {window}"] if window is not None else []
    return ", ".join(parts)


def _causal_refusal(
    name: str, config: SoftmaxConfig, window: int | None, facts: Facts, expands: dict[str, bool]
) -> str | None:
    """Why an SDPA backend cannot be used; otherwise notes in `expands` whether it needs repeated keys."""
    if facts.device != "cuda":
        return "needs CUDA"
    if facts.masked:
        return "rows hold several documents, and it has no document mask"
    if window is not None:
        return f"layer has a window of {window}, and it is causal only"
    if name != "efficient" and facts.compute not in _HALF:
        return f"takes bf16 and fp16, and compute is {facts.compute}"
    if name == "cudnn" and facts.deterministic:
        return "its backward pass does not repeat in bits, and the run asked for exact determinism"
    expand, reason = probe(name, config.heads, config.kv_heads, config.head_width, facts.compute)
    if expand is None:
        return reason
    expands[name] = expand
    return None


def _flex_refusal(config: SoftmaxConfig, facts: Facts) -> str | None:
    if facts.device != "cuda":
        return "is compiled for CUDA"
    if facts.triton is None:
        return "needs Triton, which is not installed"
    if facts.compute == torch.float64:
        return "has no fp64 kernel"
    if config.head_width < _FLEX_WIDTH:
        return f"head width {config.head_width} < {_FLEX_WIDTH}"
    return None
