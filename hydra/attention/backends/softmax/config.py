"""Configuration of softmax attention. Torch-free, so a manifest can be read anywhere."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from hydra.manifest.section import Kind, Section


class RopeConfig(Section):
    """Rotary position embedding (arXiv:2104.09864) of queries and keys."""

    base: Annotated[float, Field(gt=1)] = Field(default=10000.0, description="base of the rotation frequencies")
    layout: Literal["half", "interleaved"] = Field(
        default="half", description="which channels form a pair: (m, m + d/2) or (2m, 2m + 1)"
    )


class SoftmaxConfig(Kind):
    """Softmax attention: MHA, GQA (arXiv:2305.13245) and MQA (arXiv:1911.02150) by the number of KV heads."""

    kind: Literal["softmax"]
    heads: Annotated[int, Field(gt=0)] = Field(description="query heads")
    kv_heads: Annotated[int, Field(gt=0)] = Field(
        description="key/value heads, a divisor of `heads`; inferred when absent: equal to `heads` (MHA)"
    )
    head_width: Annotated[int, Field(gt=0)] = Field(
        description="channels per head; inferred when absent: model width / heads, which must divide"
    )
    rope: RopeConfig | None = Field(default=RopeConfig(), description="rotary embedding; `null` for none (NoPE)")
    qk_norm: Literal["none", "before_rope", "after_rope"] = Field(
        default="none", description="RMS norm of queries and keys per head (arXiv:2010.04245), and where it stands"
    )
    qk_norm_weight: bool = Field(default=True, description="whether the QK norm has learned scales `[head_width]`")
    window: Annotated[int, Field(gt=0)] | None = Field(
        default=None, description="tokens a query sees, itself included; `null` for the whole document"
    )
    value_embedding: bool = Field(
        default=False,
        description="adds a learned per-token value, gated per KV head from the first 32 channels of the input "
        "(value residuals, arXiv:2410.17897)",
    )

    @classmethod
    def inferred(cls, values: dict[str, Any], width: int) -> dict[str, Any]:
        """As many KV heads as heads, and heads that share the width out evenly."""
        heads = values.get("heads")
        if not isinstance(heads, int) or isinstance(heads, bool) or heads < 1:
            return {}
        if "head_width" not in values and width % heads:
            raise ValueError(f"heads={heads} does not divide width={width}")
        return {"kv_heads": heads, "head_width": width // heads}

    @model_validator(mode="after")
    def _shapes(self) -> Self:
        if self.heads % self.kv_heads:
            raise ValueError(f"kv_heads={self.kv_heads} does not divide heads={self.heads}")
        if self.rope is not None and self.head_width % 2:
            raise ValueError(f"head_width={self.head_width} is odd, and rotary embedding turns pairs of channels")
        return self
