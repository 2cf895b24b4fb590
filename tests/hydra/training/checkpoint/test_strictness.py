"""A checkpoint of another model is refused as a whole, every difference in one message, nothing changed."""

from __future__ import annotations

import pytest
import torch

from hydra.errors import CheckpointError


def test_every_difference_is_listed_and_nothing_is_loaded(store, save, tensors, kit) -> None:
    save(1)
    target = kit.like(tensors)
    del target["flags"], target["counter"]
    target["model.new"] = torch.zeros(2)
    target["model.embedding.weight"] = torch.ones(7, 31)
    target["model.head.weight"] = torch.ones(5, 3)
    before = kit.bits(target)
    with pytest.raises(CheckpointError) as caught:
        store.load(1, target)
    assert caught.value.exit_code == 10
    assert caught.value.what.splitlines()[1:] == [
        "  - missing in the checkpoint: model.new",
        "  - only in the checkpoint: counter",
        "  - only in the checkpoint: flags",
        "  - model.embedding.weight: shape [7, 31], in the checkpoint [31, 7]",
        "  - model.head.weight: dtype F32, in the checkpoint BF16",
    ]
    assert kit.bits(target) == before


def test_a_scalar_is_not_a_vector_of_one(store, save) -> None:
    save(1, {"step": torch.tensor(1.0)})
    with pytest.raises(CheckpointError, match=r"step: shape \[1\], in the checkpoint \[\]"):
        store.load(1, {"step": torch.zeros(1)})


def test_names_are_not_treated_as_paths(store, save, kit) -> None:
    """A dot is a letter: `a.b` and a nested `a` with `b` are different things, and both keep their names."""
    content = {"a.b": torch.ones(1), "a": torch.zeros(2), "a/b": torch.ones(3), "../a": torch.ones(4)}
    save(1, content)
    assert kit.bits(store.read_tensors(1)) == kit.bits(content)
