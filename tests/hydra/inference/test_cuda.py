"""The same on a GPU: the choice of tokens is the host's, whatever device ranks them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

from hydra.data.tokenizers.bytes import ByteTokenizer
from hydra.inference import Draw, HeldOut, Sampling, generate, sample, score
from hydra.model import build

pytestmark = pytest.mark.needs("gpu")


@pytest.fixture(params=[False, True], ids=["fast", "deterministic"])
def _deterministic(request: pytest.FixtureRequest) -> Iterator[None]:
    torch.use_deterministic_algorithms(request.param)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.usefixtures("_deterministic")
def test_sampling_is_the_same_on_both_devices() -> None:
    logits = torch.randn(16, 128_256, generator=torch.Generator().manual_seed(0)).round(decimals=2)  # with many ties
    forbidden = torch.arange(128_256) % 7 == 0
    draws = [Draw(row, 3) for row in range(16)]
    for sampling in (Sampling(0.0), Sampling(0.8), Sampling(1.0, 0, 0.9), Sampling(2.0, 0, 1.0)):
        here = sample(logits, sampling, draws, forbidden)
        there = sample(logits.cuda(), sampling, draws, forbidden.cuda())
        assert torch.equal(here, there)


@pytest.mark.parametrize("compute", [torch.float32, torch.bfloat16])
def test_generation_repeats(manifest: Any, compute: torch.dtype) -> None:
    model = build(manifest.model, 384, seed=1, device="cuda", compute=compute)
    before = torch.cuda.get_rng_state()
    texts = [
        generate(model, ByteTokenizer(), ["", "def f"], tokens=40, sampling=Sampling(seed=3), context=64)
        for _ in range(2)
    ]
    assert texts[0] == texts[1]
    assert torch.equal(before, torch.cuda.get_rng_state())


def test_scores_agree(manifest: Any) -> None:
    length = 48
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (4, length)).astype(np.int32))
    positions = torch.arange(length, dtype=torch.int32).remainder(16).expand(4, -1)
    documents = torch.arange(length, dtype=torch.int32).div(16, rounding_mode="floor").expand(4, -1)
    scores = [
        score(
            build(manifest.model, 384, seed=1, device=device, compute=torch.float32),
            [HeldOut(tokens, positions, documents)],
            ByteTokenizer().token_bytes,
        )
        for device in ("cpu", "cuda")
    ]
    assert scores[1].nats == pytest.approx(scores[0].nats, rel=1e-3)
    assert (scores[1].targets, scores[1].bytes) == (scores[0].targets, scores[0].bytes)
