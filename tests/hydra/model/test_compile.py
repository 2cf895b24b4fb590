"""Compilation per block: one graph for all blocks of a kind, no breaks, no recompilation, the same numbers."""

from __future__ import annotations

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from hydra.platform import capabilities


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


@pytest.mark.parametrize("packed", [False, True])
def test_blocks_of_a_kind_share_one_graph(model, config, rich, batch, packed) -> None:
    eager, compiled = model(config((*rich, *rich))), model(config((*rich, *rich)))
    counter = CompileCounterWithBackend("aot_eager")
    for _, region in compiled.regions():
        region.compile(backend=counter, fullgraph=True, dynamic=False)
    for seed in range(3):
        tokens, targets, meta = batch(packed=packed, seed=seed)
        results = []
        for built in (eager, compiled):
            total, _ = built(tokens, targets, meta)
            results.append((total, *torch.autograd.grad(total, list(built.parameters()))))
        for found, wanted in zip(results[1], results[0], strict=True):
            assert torch.allclose(found, wanted, atol=1e-5, rtol=1e-4)
    assert counter.frame_count == 3  # the final norm and two kinds of block


@pytest.mark.skipif(capabilities("cpu").cpp_compiler is None, reason="no C++ compiler (Debian: apt-get install g++)")
def test_fused_code_equals_eager(model, config, batch) -> None:
    """One small block through the whole compiler, C++ included."""
    eager, compiled = model(), model()
    compiled.blocks[0].compile(fullgraph=True, dynamic=False)
    tokens, targets, meta = batch()
    (wanted, _), (found, _) = eager(tokens, targets, meta), compiled(tokens, targets, meta)
    assert torch.allclose(found, wanted, rtol=1e-5)
    gradients = [
        torch.autograd.grad(total, list(built.parameters())) for total, built in ((wanted, eager), (found, compiled))
    ]
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, atol=1e-5, rtol=1e-3)


def test_the_whole_loss_is_one_graph(model, batch) -> None:
    built = model(pins={"linear_cross_entropy": "chunked"})
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(built, backend=counter, fullgraph=True, dynamic=False)
    for seed in range(2):
        tokens, targets, meta = batch(seed=seed)
        total, rows = compiled(tokens, targets, meta)
        wanted, wanted_rows = built(tokens, targets, meta)
        assert torch.allclose(total, wanted, rtol=1e-5)
        assert torch.allclose(rows, wanted_rows, rtol=1e-5)
    assert counter.frame_count == 1


def test_three_lengths_need_two_graphs(model, batch) -> None:
    built = model(pins={"linear_cross_entropy": "chunked"})
    counter = CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(built, backend=counter, fullgraph=True)
    for length in (40, 56, 72):
        tokens, targets, meta = batch(length=length)
        total, _ = compiled(tokens, targets, meta)
        wanted, _ = built(tokens, targets, meta)
        assert torch.allclose(total, wanted, rtol=1e-5)
    assert counter.frame_count <= 2
