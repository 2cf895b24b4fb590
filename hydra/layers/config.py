"""Configuration of the layers: norms and feed-forward networks. Torch-free, so a manifest can be read anywhere."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from hydra.manifest.section import Kind


class NormConfig(Kind):
    """Normalisation of the residual stream before each mixer and feed-forward, and before the head."""

    kind: Literal["rms_norm", "layer_norm"] = Field(
        default="rms_norm", description="`rms_norm` (arXiv:1910.07467) or `layer_norm` (arXiv:1607.06450)"
    )
    epsilon: Annotated[float, Field(gt=0)] = Field(default=1e-6, description="added to the variance before the root")
    weight: bool = Field(default=True, description="whether a learned scale is applied; false keeps the norm bare")


class MlpConfig(Kind):
    """Feed-forward network of a block."""

    kind: Literal["swiglu", "geglu", "relu_squared", "gelu"] = Field(
        description="gated `swiglu`/`geglu` (arXiv:2002.05202), `relu_squared` (arXiv:2109.08668) or plain `gelu`"
    )
    hidden: Annotated[int, Field(gt=0)] = Field(
        description="hidden width; inferred when absent: 8/3 of the width rounded up to a multiple of 64 when gated, "
        "else 4 times the width"
    )

    @classmethod
    def inferred(cls, values: dict[str, Any], width: int) -> dict[str, Any]:
        """8/3 of the width rounded up to a multiple of 64 for gated kinds, so that both cost about 8 width^2."""
        gated = values.get("kind") in ("swiglu", "geglu")
        return {"hidden": -(-8 * width // (3 * 64)) * 64 if gated else 4 * width}
