"""Held-out scoring: bits per byte by hand, whole or in parts, masked or not."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from hydra.attention import SeqMeta
from hydra.errors import DataError
from hydra.inference import HeldOut, Score, Sums, measure, score, torch_rows

END = 256
TOKEN_BYTES = np.array([1] * 256 + [0] * 128, dtype=np.int32)


@dataclass(frozen=True)
class Packed:
    tokens: Any
    positions: Any
    documents: Any


def packed(seed: int, rows: int, length: int) -> Packed:
    """Rows of documents of random lengths, end_of_document at both ends, some with padding on the right."""
    generator = np.random.default_rng(seed)
    tokens = generator.integers(0, 256, (rows, length)).astype(np.int32)
    positions = np.zeros((rows, length), dtype=np.int32)
    documents = np.full((rows, length), -1, dtype=np.int32)
    for row in range(rows):
        at = document = 0
        end = length - int(generator.integers(0, length // 2))
        while at < end:
            stop = min(end, at + int(generator.integers(2, 9)))
            documents[row, at:stop] = document
            positions[row, at:stop] = np.arange(stop - at)
            tokens[row, at] = tokens[row, stop - 1] = END
            at, document = stop, document + 1
    return Packed(tokens, positions, documents)


def by_hand(model: Any, data: Packed) -> tuple[list[float], list[int], list[int]]:
    """Nats, targets and bytes of each row, one document at a time."""
    nats, targets, sizes = [], [], []
    for tokens, documents in zip(data.tokens, data.documents, strict=True):
        n, t, b = 0.0, 0, 0
        for document in range(documents.max() + 1):
            ids = torch.from_numpy(tokens[documents == document]).long()[None]
            if ids.shape[1] < 2:
                continue
            logp = model.logits(ids[:, :-1], SeqMeta.causal(ids[:, :-1])).log_softmax(-1)[0]
            for place, token in enumerate(ids[0, 1:].tolist()):
                n -= float(logp[place, token])
                t += 1
                b += int(TOKEN_BYTES[token])
        nats.append(n)
        targets.append(t)
        sizes.append(b)
    return nats, targets, sizes


def test_against_a_computation_by_hand(model: Any) -> None:
    data = packed(0, 7, 40)
    model.eval()
    with torch.no_grad():
        nats, targets, sizes = by_hand(model, data)
    model.train()
    found = score(model, torch_rows(data, 3), TOKEN_BYTES)
    assert model.training
    assert (found.targets, found.bytes, found.rows) == (sum(targets), sum(sizes), 7)
    assert found.bytes < found.targets  # end_of_document counts no byte
    assert found.nats == pytest.approx(sum(nats), rel=1e-6)
    assert found.loss == pytest.approx(sum(nats) / sum(targets), rel=1e-6)
    ratio = sum(nats) / (math.log(2) * sum(sizes))
    assert found.bits_per_byte == pytest.approx(ratio, rel=1e-6)
    residuals = [n / math.log(2) - ratio * b for n, b in zip(nats, sizes, strict=True)]
    error = math.sqrt(7 / 6 * sum(r * r for r in residuals)) / sum(sizes)
    assert found.standard_error == pytest.approx(error, rel=1e-4)


def test_a_uniform_model_needs_log2_of_its_vocabulary(model: Any) -> None:
    with torch.no_grad():
        model.head.zero_()
    data = packed(1, 4, 30)
    found = score(model, torch_rows(data, 4), TOKEN_BYTES)
    assert found.loss == pytest.approx(math.log(384), rel=1e-6)
    assert found.bits_per_byte == pytest.approx(math.log2(384) * found.targets / found.bytes, rel=1e-6)
    assert found.loss_error == pytest.approx(0, abs=1e-6)


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6), st.integers(1, 3))
def test_batching_and_ranks_do_not_matter(untouched: Any, seed: int, rows: int, batch: int, ranks: int) -> None:
    data = packed(seed, rows, 24)
    whole = measure(untouched, torch_rows(data, rows), TOKEN_BYTES)
    total = torch.zeros(9, dtype=torch.float64)
    for rank in range(ranks):
        share = Packed(data.tokens[rank::ranks], data.positions[rank::ranks], data.documents[rank::ranks])
        total += measure(untouched, torch_rows(share, batch), TOKEN_BYTES).tensor()
    parts = Sums.from_tensor(total)
    assert (parts.rows, parts.targets, parts.bytes) == (whole.rows, whole.targets, whole.bytes)
    if not whole.targets:
        return
    one, other = Score.from_sums(whole), Score.from_sums(parts)
    assert other.nats == pytest.approx(one.nats, rel=1e-6)
    assert (other.standard_error is None) == (one.standard_error is None)
    if one.standard_error is not None:
        assert other.standard_error == pytest.approx(one.standard_error, rel=1e-3, abs=1e-6)


def test_ids_without_text_have_no_bits_per_byte(model: Any) -> None:
    found = score(model, torch_rows(packed(2, 3, 20), 3), np.zeros(384, dtype=np.int32))
    assert (found.bits_per_byte, found.standard_error, found.bytes) == (None, None, 0)
    assert found.loss > 0
    assert found.loss_error is not None


def test_one_row_has_no_standard_error(model: Any) -> None:
    found = score(model, torch_rows(packed(3, 1, 20), 1), TOKEN_BYTES)
    assert found.standard_error is None
    assert found.loss_error is None
    assert found.bits_per_byte is not None


def test_nothing_to_score_is_an_error(model: Any) -> None:
    data = packed(4, 2, 20)
    with pytest.raises(DataError, match="hold no target"):
        score(model, torch_rows(replace(data, documents=np.full_like(data.documents, -1)), 2), TOKEN_BYTES)
    assert measure(model, [], TOKEN_BYTES) == Sums()


def test_losses_of_nan_stay_nan(model: Any) -> None:
    with torch.no_grad():
        model.head[0, 0] = math.nan
    found = score(model, torch_rows(packed(5, 3, 20), 3), TOKEN_BYTES)
    assert math.isnan(found.loss)
    assert found.bits_per_byte is not None
    assert math.isnan(found.bits_per_byte)
    assert found.standard_error is not None
    assert math.isnan(found.standard_error)


class Spy(nn.Module):
    """Keeps what it is given; every target costs 2 nats."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[torch.Tensor, torch.Tensor, SeqMeta]] = []

    def forward(self, tokens: torch.Tensor, targets: torch.Tensor, meta: SeqMeta) -> tuple[torch.Tensor, torch.Tensor]:
        assert not torch.is_grad_enabled()
        assert not self.training
        self.seen.append((tokens, targets, meta))
        nats = 2.0 * (targets >= 0).sum(-1).float()
        return nats.sum(), nats


def test_what_the_model_is_given() -> None:
    spy: Any = Spy()
    rows = HeldOut(
        tokens=torch.tensor([[9, 1, 9, 9, 2, 0]], dtype=torch.int32),
        positions=torch.tensor([[0, 1, 2, 0, 1, 0]], dtype=torch.int32),
        documents=torch.tensor([[0, 0, 0, 1, 1, -1]], dtype=torch.int32),
    )
    found = score(spy, [rows], torch.tensor([1, 3, 5, 0, 0, 0, 0, 0, 0, 0]), masked=True, max_document=3)
    tokens, targets, meta = spy.seen[0]
    assert tokens.tolist() == [[9, 1, 9, 9, 2]]
    assert targets.tolist() == [[1, 9, -1, 2, -1]]
    assert meta.positions.tolist() == [[0, 1, 2, 0, 1]]
    assert meta.documents.tolist() == [[0, 0, 0, 1, 1]]
    assert (meta.masked, meta.max_document) == (True, 3)
    assert tokens.dtype == targets.dtype == torch.int64
    assert meta.positions.dtype == meta.documents.dtype == torch.int32
    assert (found.targets, found.bytes) == (3, 3 + 0 + 5)
    assert found.nats == 6.0
    score(spy, [rows], torch.ones(10, dtype=torch.int32), masked=False)
    assert (spy.seen[1][2].masked, spy.seen[1][2].max_document) == (False, 5)


def test_batches_have_one_size() -> None:
    data = packed(6, 5, 12)
    batches = list(torch_rows(data, 2))
    assert [batch.tokens.shape for batch in batches] == [(2, 12)] * 3
    assert batches[-1].documents[1].tolist() == [-1] * 12
    assert torch.cat([batch.tokens for batch in batches])[:5].tolist() == data.tokens.tolist()


def test_global_random_state_is_untouched(model: Any) -> None:
    model.train()
    before = torch.get_rng_state()
    score(model, torch_rows(packed(7, 3, 20), 3), TOKEN_BYTES)
    assert torch.equal(before, torch.get_rng_state())
