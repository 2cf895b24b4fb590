"""Small models that the model tests share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from hydra.attention import SeqMeta
from hydra.manifest.sections import Model
from hydra.model import LanguageModel, build

VOCABULARY = 64

SMALL: dict[str, Any] = {
    "mixer": {"kind": "softmax", "heads": 4, "kv_heads": 2, "head_width": 8},
    "mlp": {"kind": "swiglu", "hidden": 48},
}
#: A model that uses every option at once: the union of what must work together.
RICH: tuple[dict[str, Any], ...] = (
    {
        "mixer": {**SMALL["mixer"], "qk_norm": "before_rope", "window": 9},
        "mlp": {"kind": "relu_squared", "hidden": 40},
        "norm": {"kind": "layer_norm"},
    },
    {
        "mixer": {**SMALL["mixer"], "qk_norm": "after_rope", "qk_norm_weight": False, "value_embedding": True},
        "mlp": {"kind": "geglu", "hidden": 24},
    },
)


def make_config(blocks: tuple[dict[str, Any], ...] = (SMALL, SMALL), **options: Any) -> Model:
    """A model section of width 32."""
    values = {"width": 32, "context": 128, "norm": {"kind": "rms_norm"}, **options}
    written = tuple({"id": f"block.{i}", "norm": values["norm"], **block} for i, block in enumerate(blocks))
    return Model.model_validate({**values, "blocks": written})


def make_model(config: Model | None = None, **options: Any) -> LanguageModel:
    """The model of a section, on the CPU in fp32 unless told otherwise."""
    values = {"seed": 5, "device": "cpu", "compute": torch.float32, **options}
    return build(config or make_config(), VOCABULARY, **values)


def make_batch(batch: int = 2, length: int = 40, packed: bool = True, seed: int = 0):
    """Tokens, targets and metadata; packed rows hold three documents, and padding in row 0."""
    tokens = torch.randint(0, VOCABULARY, (batch, length + 1), generator=torch.Generator().manual_seed(seed))
    documents = torch.zeros(batch, length + 1, dtype=torch.int32)
    if packed:
        documents[:, length // 3 :] = 1
        documents[:, length // 2 :] = 2
        documents[0, length - 2 :] = -1
    same = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    targets = torch.where(same, tokens[:, 1:], -1)
    inputs = tokens[:, :-1]
    meta = SeqMeta.packed(inputs, documents[:, :-1]) if packed else SeqMeta.causal(inputs)
    return inputs, targets, meta


@pytest.fixture(scope="session")
def config() -> Callable[..., Model]:
    """Builds a model section."""
    return make_config


@pytest.fixture(scope="session")
def model() -> Callable[..., LanguageModel]:
    """Builds a model."""
    return make_model


@pytest.fixture(scope="session")
def batch() -> Callable[..., Any]:
    """Builds a batch."""
    return make_batch


@pytest.fixture(scope="session")
def rich() -> tuple[dict[str, Any], ...]:
    """Two blocks that use every option."""
    return RICH
