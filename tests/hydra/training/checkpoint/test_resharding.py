"""Tensors that several ranks wrote in slices load into whole tensors, and whole ones into slices."""

from __future__ import annotations

import hashlib
import itertools
import json
import math

import pytest
import safetensors.torch
import torch
import torch.distributed as dist
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Shard, distribute_tensor

from hydra.training.checkpoint import Checkpoints


def write_as_ranks(directory, whole: torch.Tensor, boxes, step: int = 1) -> None:
    """What a run on several ranks leaves: one shard per rank, written with the safetensors library, and a layout."""
    folder = directory / f"step-{step}"
    folder.mkdir(parents=True)
    chunks = []
    for rank, (offset, shape) in enumerate(boxes):
        part = whole[tuple(slice(o, o + n) for o, n in zip(offset, shape, strict=True))].contiguous()
        file = f"shard-{rank:05d}.safetensors"
        key = "w" if tuple(shape) == tuple(whole.shape) else f"w@{list(offset)}"
        raw = safetensors.torch.save({key: part})
        (folder / file).write_bytes(raw)
        size = math.prod(shape) * whole.element_size()
        chunks.append({"offset": offset, "shape": shape, "file": file, "bytes": [len(raw) - size, len(raw)]})
    layout = {"schema": 1, "tensors": {"w": {"shape": list(whole.shape), "dtype": "F32", "chunks": chunks}}}
    (folder / "layout.json").write_text(json.dumps(layout))
    (folder / "train.json").write_text("{}")
    files = {
        path.name: {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in folder.iterdir()
    }
    complete = {
        "schema": 1, "run": "r", "attempt": 1, "step": step, "serial": 1, "configuration": "c",
        "world_size": len(boxes), "part": 1, "parts": 1, "metric": None, "created": 1.0, "files": files,
    }  # fmt: skip
    (folder / "COMPLETE.json").write_text(json.dumps(complete))


@st.composite
def cuts(draw: st.DrawFn):
    """A matrix and a grid of boxes that covers it."""
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    row_cuts = sorted({0, rows, *draw(st.sets(st.integers(0, rows), max_size=3))})
    column_cuts = sorted({0, columns, *draw(st.sets(st.integers(0, columns), max_size=2))})
    boxes = [
        ([r, c], [r_end - r, c_end - c])
        for r, r_end in itertools.pairwise(row_cuts)
        for c, c_end in itertools.pairwise(column_cuts)
    ]
    return (rows, columns), draw(st.permutations(boxes))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts())
def test_slices_become_a_whole(tmp_path_factory, case) -> None:
    shape, boxes = case
    directory = tmp_path_factory.mktemp("ranks")
    whole = torch.randn(shape)
    write_as_ranks(directory, whole, boxes)
    checkpoints = Checkpoints(directory)
    assert checkpoints.verify(1).ok, checkpoints.verify(1).problems
    target = {"w": torch.zeros(shape)}
    checkpoints.load(1, target)
    assert torch.equal(target["w"], whole)


@pytest.fixture
def one_rank(tmp_path):
    dist.init_process_group("gloo", init_method=f"file://{tmp_path / 'rendezvous'}", rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def test_distributed_tensors_are_saved_and_filled_in_place(one_rank, store, kit) -> None:
    whole = torch.randn(6, 4)
    sharded = distribute_tensor(whole, one_rank, [Shard(0)])
    store.save(1, {"w": sharded}, {})
    store.wait()
    assert kit.bits(store.read_tensors(1)) == kit.bits({"w": whole})
    target = distribute_tensor(torch.zeros(6, 4), one_rank, [Shard(1)])
    store.load(1, {"w": target})
    assert torch.equal(target.full_tensor(), whole)


def test_a_process_group_is_not_used(one_rank, store, save, tensors, kit, monkeypatch) -> None:
    """Only rank 0 saves and each rank loads for itself; a collective would hang the others."""
    for name in ("all_gather_object", "gather_object", "broadcast_object_list", "scatter_object_list", "barrier"):
        monkeypatch.setattr(dist, name, lambda *_, **__: pytest.fail("a collective was called"))
    save(1)
    target = kit.like(tensors)
    store.load(1, target)
    assert kit.bits(target) == kit.bits(tensors)
