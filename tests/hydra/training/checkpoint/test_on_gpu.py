"""Checkpoints of tensors on a GPU: through pinned shared memory, exact, and taken at the moment of the call."""

from __future__ import annotations

import pytest
import torch

from hydra.training.checkpoint import Saved

pytestmark = pytest.mark.needs("gpu")
DEVICE = "cuda"


@pytest.fixture
def on_device(tensors):
    return {name: tensor.detach().to(DEVICE) for name, tensor in tensors.items()}


def test_round_trip_through_pinned_memory(store, on_device, kit) -> None:
    store.save(1, on_device, {})
    assert isinstance(store.wait()[0], Saved)
    assert store._slab._pinned
    assert store._slab._bytes.is_pinned()
    target = {name: torch.zeros_like(tensor) for name, tensor in on_device.items()}
    store.load(1, target)
    assert all(tensor.is_cuda for tensor in target.values())
    expected = kit.bits({name: tensor.cpu() for name, tensor in on_device.items()})
    assert kit.bits({name: tensor.cpu() for name, tensor in target.items()}) == expected
    assert kit.bits(store.read_tensors(1)) == expected
    assert next(iter(store.read_tensors(1, "model.", device=DEVICE).values())).is_cuda


def test_what_was_enqueued_before_is_seen_and_what_comes_after_is_not(store) -> None:
    weight = torch.zeros(1 << 24, device=DEVICE)
    for _ in range(50):
        weight += 1
    store.save(1, {"w": weight}, {})
    for _ in range(50):
        weight += 1
    store.wait()
    assert store.read_tensors(1)["w"].unique().tolist() == [50.0]


def test_the_slab_grows_and_is_given_back(make_store) -> None:
    store = make_store()
    for step, size in enumerate((10, 1 << 22, 20), 1):
        store.save(step, {"w": torch.full((size,), float(step), device=DEVICE)}, {})
        assert isinstance(store.wait()[0], Saved)
        assert store.read_tensors(step)["w"].unique().tolist() == [float(step)]
    store.close()
    make_store().close()
