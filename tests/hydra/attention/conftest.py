"""Small mixers and batches that the attention tests share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from hydra.attention import MixerSpec, SeqMeta, backend
from hydra.attention.backends.softmax.config import SoftmaxConfig
from hydra.kernels import Facts
from hydra.model.framework.initialisation import initialise

FACTS = Facts("cpu", None, None, torch.float32)
VOCABULARY = 11


def make_mixer(implementation: str = "sdpa", context: int = 1024, width: int = 48, seed: int = 3, **config: Any):
    """One softmax mixer on the CPU with unit-sized weights, so that outputs and gradients are of order one."""
    values = {"kind": "softmax", "heads": 2, "kv_heads": 2, "head_width": 8, **config}
    spec = MixerSpec(
        config=SoftmaxConfig.model_validate(values),
        width=width,
        context=context,
        vocabulary=VOCABULARY,
        std=width**-0.5,
        output_std=width**-0.5,
        facts=FACTS,
        pins={"attention": implementation},
    )
    mixer = backend(spec)
    initialise(mixer, seed)
    with torch.no_grad():  # scales away from 1, so that a forgotten one shows
        for name, parameter in mixer.named_parameters():
            if "norm" in name:
                parameter.add_(torch.linspace(-0.3, 0.3, parameter.numel()))
    return mixer


def make_meta(batch: int, length: int, packed: bool, seed: int = 0) -> SeqMeta:
    """Rows of one document, or of several with documents of length 1 among them and padding at the end of row 0."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, VOCABULARY, (batch, length), generator=generator)
    if not packed:
        return SeqMeta.causal(tokens)
    starts = torch.rand(batch, length, generator=generator) < 0.15
    starts[:, 1:3] = True  # a document of one token
    documents = starts.cumsum(dim=1).to(torch.int32)
    if length > 8:
        documents[0, length - 3 :] = -1
    return SeqMeta.packed(tokens, documents)


def cut(meta: SeqMeta, piece: slice) -> SeqMeta:
    """Part of a batch along time."""
    return replace(
        meta,
        positions=meta.positions[:, piece],
        documents=meta.documents[:, piece],
        tokens=meta.tokens[:, piece],
        derived={},
    )


def draw(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Seeded normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.fixture(scope="session")
def mixer() -> Callable[..., Any]:
    """Builds a mixer."""
    return make_mixer


@pytest.fixture(scope="session")
def meta() -> Callable[..., SeqMeta]:
    """Builds a batch's metadata."""
    return make_meta


@pytest.fixture(scope="session")
def piece() -> Callable[[SeqMeta, slice], SeqMeta]:
    """Cuts a batch."""
    return cut


@pytest.fixture(scope="session")
def normal() -> Callable[..., torch.Tensor]:
    """Draws numbers."""
    return draw
