"""Generation and scoring with the real model and the real tokenizers, on the CPU."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from hydra.attention import SeqMeta
from hydra.data.tokenizers import Tokenizer
from hydra.data.tokenizers.bytes import ByteTokenizer
from hydra.data.tokenizers.ids import IdTokenizer
from hydra.inference import HeldOut, Sampling, generate, score
from hydra.model import build


@pytest.fixture(scope="module")
def real(manifest: Any) -> Any:
    return build(manifest.model, 384, seed=1, device="cpu", compute=torch.float32)


@pytest.mark.parametrize("sampling", [Sampling(temperature=0), Sampling(temperature=1.0, top_k=50, top_p=0.9, seed=4)])
def test_cached_equals_uncached(manifest: Any, sampling: Sampling) -> None:
    # In fp64, because in fp32 the two differ by 1e-5 in a logit, and near ties closer than that do occur.
    exact = build(manifest.model, 384, seed=1, device="cpu", compute=torch.float64)
    prompts = ["", "def f(x):", "é" * 5]
    both = [
        generate(exact, ByteTokenizer(), prompts, tokens=48, sampling=sampling, context=64, cache=cache)
        for cache in (True, False)
    ]
    assert both[0] == both[1]
    assert sum(result.tokens for result in both[0]) > 48


def test_greedy_is_the_argmax_of_a_full_forward_at_each_step(real: Any) -> None:
    tokenizer = ByteTokenizer()
    [result] = generate(
        real, tokenizer, ["import"], tokens=40, sampling=Sampling(temperature=0), context=64, forbid_end=True
    )
    ids = torch.tensor([[tokenizer.end_of_document, *b"import", *result.ids]])
    with torch.no_grad():
        logits = real.logits(ids, SeqMeta.causal(ids))[0, :, :256]
    assert logits[6:-1].argmax(-1).tolist() == list(result.ids)
    assert len(result.ids) == 40


def test_a_prompt_alone_gives_what_it_gives_among_others(real: Any) -> None:
    sampling = Sampling(temperature=1.0, top_k=0, seed=2)
    together = generate(real, ByteTokenizer(), ["a", "some longer prompt"], tokens=30, sampling=sampling, context=64)
    [alone] = generate(
        real, ByteTokenizer(), ["some longer prompt"], tokens=30, sampling=sampling, context=64, first_index=1
    )
    assert alone == together[1]


def test_the_whole_context_can_be_used(real: Any) -> None:
    [result] = generate(
        real, ByteTokenizer(), ["x" * 40], tokens=100, sampling=Sampling(temperature=0), context=64, forbid_end=True
    )
    assert (result.tokens, result.ended) == (64 - 41, "context")


def test_ids_without_text(real: Any) -> None:
    tokenizer: Tokenizer = IdTokenizer(300)
    [result] = generate(real, tokenizer, [""], tokens=8, sampling=Sampling(seed=1), context=64, forbid_end=True)
    assert result.text == " ".join(map(str, result.ids))
    [result] = generate(real, tokenizer, ["7 8"], tokens=8, sampling=Sampling(seed=1), context=64, forbid_end=True)
    assert result.text == "".join(f" {token}" for token in result.ids)


def batch_of(documents: list[list[int]], length: int) -> HeldOut:
    """One packed row, padded on the right, and a row of nothing but padding."""
    tokens = [token for document in documents for token in document]
    places = [place for document in documents for place in range(len(document))]
    numbers = [number for number, document in enumerate(documents) for _ in document]
    rows = [(tokens, 0), (places, 0), (numbers, -1)]
    return HeldOut(
        *(
            torch.tensor([values + [fill] * (length - len(values)), [fill] * length], dtype=torch.int32)
            for values, fill in rows
        )
    )


def test_packed_rows_score_what_their_documents_score_alone(real: Any) -> None:
    tokenizer = ByteTokenizer()
    end = tokenizer.end_of_document
    documents = [[end, *text.encode(), end] for text in ("one", "the second, longer", "é")]
    found = score(real, [batch_of(documents, 48)], tokenizer.token_bytes)
    nats = 0.0
    with torch.no_grad():
        for document in documents:
            ids = torch.tensor([document])
            logp = real.logits(ids[:, :-1], SeqMeta.causal(ids[:, :-1])).log_softmax(-1)[0]
            nats -= float(logp.gather(1, ids[0, 1:, None]).sum())
    assert found.rows == 1
    assert found.targets == sum(len(document) - 1 for document in documents)
    assert found.bytes == len("onethe second, longeré".encode())
    assert found.nats == pytest.approx(nats, rel=1e-5)
    assert found.bits_per_byte == pytest.approx(nats / math.log(2) / found.bytes, rel=1e-5)


def test_scoring_leaves_training_as_it_was(real: Any) -> None:
    real.train()
    parameters = [parameter.detach().clone() for parameter in real.parameters()]
    before = torch.get_rng_state()
    batch = batch_of([[256, *b"abc", 256]], 16)
    score(real, [batch], ByteTokenizer().token_bytes, masked=False)
    generate(real, ByteTokenizer(), [""], tokens=4, sampling=Sampling(), context=64)
    assert torch.equal(before, torch.get_rng_state())
    assert real.training
    assert all(torch.equal(old, new) for old, new in zip(parameters, real.parameters(), strict=True))
    # What was cached on the way must be fit for training: a backward pass after it works.
    tokens = batch.tokens[:, :-1].long()
    total, _ = real(tokens, batch.tokens[:, 1:].long(), SeqMeta.causal(tokens))
    total.backward()
    assert all(parameter.grad is not None for parameter in real.parameters())
    assert np.isfinite(float(total.detach()))
