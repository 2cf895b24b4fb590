"""Configuration of optimizers and schedules. Torch-free, so a manifest can be read anywhere."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from hydra.manifest.section import Kind

Fraction = Annotated[float, Field(ge=0, le=1)]
Steps = Annotated[int, Field(ge=0)]
Beta = Annotated[float, Field(ge=0, lt=1)]


class AdamWConfig(Kind):
    """AdamW (arXiv:1711.05101) with fp32 moments, for the parameters that its patterns match."""

    kind: Literal["adamw"]
    match: tuple[str, ...] = Field(
        default=("*",), min_length=1, description="shell patterns of parameter names; the first matching rule wins"
    )
    ndim: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="takes only parameters with this many dimensions; `null` for any"
    )
    lr: Annotated[float, Field(gt=0)] = Field(description="peak learning rate")
    betas: tuple[Beta, Beta] = Field(default=(0.9, 0.95), description="decay of the two moments")
    epsilon: Annotated[float, Field(gt=0)] = Field(default=1e-8, description="added to the root of the second moment")
    weight_decay: Annotated[float, Field(ge=0)] = Field(default=0.1, description="decoupled weight decay")
    decay_min_ndim: Annotated[int, Field(ge=0)] = Field(
        default=2, description="parameters with fewer dimensions (norm scales, biases) are not decayed"
    )


class WsdSchedule(Kind):
    """Warm-up, stable, decay (arXiv:2404.06395): constant until the last `decay_fraction` of the steps."""

    kind: Literal["wsd"]
    warmup_steps: Steps = Field(default=100, description="linear warm-up `peak (s+1)/W`")
    decay_fraction: Fraction = Field(default=0.2, description="share of all steps spent in the final decay")
    shape: Literal["linear", "sqrt", "cosine"] = Field(
        default="linear", description="form of the decay: linear, `1 - sqrt(x)` or half a cosine"
    )
    min_ratio: Fraction = Field(default=0.0, description="learning rate at the end, as a share of the peak")


class CosineSchedule(Kind):
    """Linear warm-up, then half a cosine down to `min_ratio` (arXiv:1608.03983)."""

    kind: Literal["cosine"]
    warmup_steps: Steps = Field(default=100, description="linear warm-up `peak (s+1)/W`")
    min_ratio: Fraction = Field(default=0.1, description="learning rate at the end, as a share of the peak")


class LinearSchedule(Kind):
    """Linear warm-up, then a straight line down to `min_ratio`."""

    kind: Literal["linear"]
    warmup_steps: Steps = Field(default=100, description="linear warm-up `peak (s+1)/W`")
    min_ratio: Fraction = Field(default=0.0, description="learning rate at the end, as a share of the peak")


class ConstantSchedule(Kind):
    """Linear warm-up, then the peak for the rest of the run."""

    kind: Literal["constant"]
    warmup_steps: Steps = Field(default=0, description="linear warm-up `peak (s+1)/W`")
