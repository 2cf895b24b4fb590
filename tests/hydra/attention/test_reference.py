"""The reference is the definition: it equals a loop over queries and keys, and its mask equals a loop over pairs."""

from __future__ import annotations

import math

import pytest
import torch

from hydra.attention.backends.softmax.reference import attention, visible


def looped(q, k, v, mask, scale) -> torch.Tensor:
    """Attention one query at a time, from the formula."""
    y = torch.zeros_like(q)
    groups = q.shape[2] // k.shape[2]
    for b in range(q.shape[0]):
        for t in range(q.shape[1]):
            for h in range(q.shape[2]):
                seen = [s for s in range(k.shape[1]) if mask[b, t, s]]
                scores = [math.exp(float(q[b, t, h] @ k[b, s, h // groups]) * scale) for s in seen]
                for score, s in zip(scores, seen, strict=True):
                    y[b, t, h] += score / sum(scores) * v[b, s, h // groups]
    return y


def test_equals_a_loop_over_pairs(normal, meta) -> None:
    batch = meta(2, 10, True)
    mask = visible(batch, 4)
    q, k, v = (normal(2, 10, n, 5, seed=n, dtype=torch.float64) for n in (6, 2, 2))
    assert torch.allclose(attention(q, k, v, mask, 0.3), looped(q, k, v, mask, 0.3), atol=1e-12)


@pytest.mark.parametrize("window", [None, 1, 3])
@pytest.mark.parametrize("packed", [False, True])
def test_mask_equals_a_loop_over_pairs(meta, window, packed) -> None:
    batch = meta(2, 20, packed)
    mask = visible(batch, window)
    for b in range(2):
        for t in range(20):
            for s in range(20):
                same = not packed or batch.documents[b, t] == batch.documents[b, s] >= 0
                near = window is None or t - s < window
                assert bool(mask[b, t, s]) == bool(same and s <= t and near)


def test_keys_nobody_sees_are_never_read(normal) -> None:
    q, k, v = (normal(1, 4, 2, 5, seed=n) for n in range(3))
    mask = torch.ones(1, 4, 4, dtype=torch.bool).tril()
    mask[..., 3] = False
    wanted = attention(q, k, v, mask, 0.4)
    k[:, 3], v[:, 3] = torch.nan, torch.nan
    assert torch.equal(attention(q, k, v, mask, 0.4), wanted)


def test_a_query_that_sees_nothing_gives_zero_and_no_gradient(normal) -> None:
    q, k, v = (normal(1, 3, 2, 4, seed=n, dtype=torch.float64).requires_grad_() for n in range(3))
    mask = torch.ones(1, 3, 3, dtype=torch.bool).tril()
    mask[:, 1] = False
    y = attention(q, k, v, mask, 0.5)
    gradients = torch.autograd.grad(y.square().sum(), [q, k, v])
    assert not y[:, 1].any()
    assert not gradients[0][:, 1].any()
    assert all(gradient.isfinite().all() for gradient in gradients)


def test_gradcheck(normal) -> None:
    q, k, v = (normal(1, 4, n, 3, seed=n, dtype=torch.float64).requires_grad_() for n in (4, 2, 2))
    mask = torch.ones(1, 4, 4, dtype=torch.bool).tril()
    mask[0, 2:, :2] = False
    assert torch.autograd.gradcheck(lambda *parts: attention(*parts, mask, 0.5), (q, k, v))
