"""The KV cache beyond the contract: rows of different length, reordering, truncation, outgrown buffers."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch.utils import _pytree as pytree


def prompt(mixer, meta, normal, documents: torch.Tensor | None = None, capacity: int = 16):
    """A mixer, its batch of 2 rows of 8 tokens and the state after them."""
    module, batch, x = mixer(), meta(2, 8, False), normal(2, 8, 48)
    if documents is not None:
        batch = replace(batch, documents=documents)
    with torch.no_grad():
        y, state = module.prefill(x, batch, module.init_state(2, capacity, x.device, x.dtype))
    return module, batch, x, y, state


def test_padding_is_not_stored(mixer, meta, normal, piece) -> None:
    documents = torch.zeros(2, 8, dtype=torch.int32)
    documents[1, 5:] = -1
    module, _, x, y, state = prompt(mixer, meta, normal, documents)
    assert state.lens.tolist() == [8, 5]
    assert not y[1, 5:].any()
    batch = meta(2, 9, False)
    step = replace(piece(batch, slice(8, 9)), positions=state.lens[:, None])
    token = normal(2, 1, 48, seed=4)
    with torch.no_grad():
        found, _ = module.decode(token, step, state)
        short = torch.cat([x[1:, :5], token[1:]], dim=1)
        wanted = module(short, meta(1, 6, False))
    assert torch.allclose(found[1], wanted[0, -1:], atol=1e-5)


def test_rows_move_with_reorder_and_fork(mixer, meta, normal) -> None:
    _, _, _, _, state = prompt(mixer, meta, normal)
    swapped, forked = state.reorder(torch.tensor([1, 0, 1])), state.fork(2)
    for before, moved, copied in zip(state, swapped, forked, strict=True):
        assert torch.equal(moved, before[[1, 0, 1]])
        assert torch.equal(copied, before[[0, 0, 1, 1]])


def test_truncated_rows_continue_as_if_the_rest_had_not_been(mixer, meta, normal, piece) -> None:
    module, _, x, _, state = prompt(mixer, meta, normal)
    state = state.truncate(torch.tensor([3, 30], dtype=torch.int32))
    assert state.lens.tolist() == [3, 8]
    assert state.doc.tolist() == [0, 0]
    with torch.no_grad():
        y, _ = module.prefill(x[:1, 3:], piece(meta(1, 8, False), slice(3, None)), state.reorder(torch.tensor([0])))
        whole = module(x[:1], meta(1, 8, False))
    assert torch.allclose(y, whole[:, 3:], atol=1e-5)
    assert state.truncate(torch.zeros(2, dtype=torch.int32)).doc.tolist() == [-1, -1]


def test_an_outgrown_row_says_so(mixer, meta, normal) -> None:
    _, _, _, y, state = prompt(mixer, meta, normal, capacity=7)
    assert y.isnan().all()
    assert state.lens.tolist() == [8, 8]


def test_state_holds_tensors_only(mixer, meta, normal) -> None:
    _, _, _, _, state = prompt(mixer, meta, normal)
    leaves, _ = pytree.tree_flatten(state)
    assert all(isinstance(leaf, torch.Tensor) for leaf in leaves)
    assert {leaf.dtype for leaf in leaves} == {torch.float32, torch.int32}
