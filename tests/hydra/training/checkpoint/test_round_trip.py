"""What is saved comes back, bit for bit; the files are ordinary safetensors and JSON; only what is needed is read."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hydra.errors import CheckpointError
from hydra.training.checkpoint import Checkpoints, Saved, planning


def test_every_dtype_and_shape_survives(store, tensors, kit) -> None:
    store.save(7, tensors, {"tokens": 5})
    [result] = store.wait()
    assert isinstance(result, Saved)
    target = kit.like(tensors)
    assert kit.bits(target) != kit.bits(tensors)
    addresses = {name: tensor.data_ptr() for name, tensor in target.items()}
    assert Checkpoints(store.directory).load(7, target) == {"tokens": 5}
    assert kit.bits(target) == kit.bits(tensors)
    assert {name: tensor.data_ptr() for name, tensor in target.items()} == addresses


def test_loading_into_parameters_that_train(store, save, tensors) -> None:
    save(1)
    parameter = torch.nn.Parameter(torch.zeros(3))
    target = {name: torch.zeros_like(tensor) for name, tensor in tensors.items()} | {"model.parameter": parameter}
    store.load(1, target)
    assert torch.equal(parameter, tensors["model.parameter"])
    assert parameter.requires_grad
    assert parameter.grad_fn is None


def test_the_tensors_may_change_as_soon_as_save_returns(store, tensors, kit) -> None:
    before = kit.bits(tensors)
    store.save(1, tensors, {})
    with torch.no_grad():
        for tensor in tensors.values():
            tensor.zero_()
    store.wait()
    assert kit.bits(store.read_tensors(1)) == before


def test_the_slab_is_used_again_and_grows(store, tensors, kit) -> None:
    for step, count in enumerate((1, 3, 2, 50), 1):
        content = {f"t{i}": torch.full((1000 * count,), float(step)) for i in range(3)}
        store.save(step, content, {})
        store.wait()
        assert kit.bits(store.read_tensors(step)) == kit.bits(content)


def test_the_safetensors_library_reads_the_shards(save, tensors, kit) -> None:
    folder = save(1)
    read = {}
    for path in sorted(folder.glob("shard-*.safetensors")):
        read |= safetensors.torch.load_file(path)
    assert kit.bits(read) == kit.bits(tensors)


def test_tensors_are_aligned_for_memory_mapping(save) -> None:
    folder = save(1)
    layout = json.loads((folder / "layout.json").read_text())
    widths = {"F32": 4, "BF16": 2, "I64": 8, "U8": 1, "BOOL": 1}
    for tensor in layout["tensors"].values():
        for chunk in tensor["chunks"]:
            assert chunk["bytes"][0] % widths[tensor["dtype"]] == 0


def test_many_shards(store, tensors, kit, monkeypatch) -> None:
    monkeypatch.setattr(planning, "SHARD_BYTES", 100)
    store.save(1, tensors, {})
    store.wait()
    shards = list((store.directory / "step-1").glob("shard-*"))
    assert len(shards) == len(tensors)
    assert kit.bits(store.read_tensors(1)) == kit.bits(tensors)
    assert store.verify(1).ok


def test_the_layout_says_where_every_byte_is(save, tensors) -> None:
    folder = save(1)
    layout = json.loads((folder / "layout.json").read_text())
    assert layout["schema"] == 1
    entry = layout["tensors"]["model.embedding.weight"]
    [chunk] = entry["chunks"]
    assert (entry["shape"], entry["dtype"]) == ([31, 7], "F32")
    assert (chunk["offset"], chunk["shape"]) == ([0, 0], [31, 7])
    begin, end = chunk["bytes"]
    stored = (folder / chunk["file"]).read_bytes()[begin:end]
    assert stored == tensors["model.embedding.weight"].numpy().tobytes()


def test_complete_lists_every_other_file_with_its_digest(store, save, tmp_path) -> None:
    tokenizer = tmp_path / "tokenizer"
    (tokenizer / "deep").mkdir(parents=True)
    (tokenizer / "tokenizer.json").write_text("{}")
    (tokenizer / "deep" / "empty").write_text("")
    folder = save(12, tokenizer=tokenizer, metric=1.5)
    complete = json.loads((folder / "COMPLETE.json").read_text())
    files = complete.pop("files")
    assert complete.pop("created") > 1.7e9
    assert complete == {
        "schema": 1, "run": "tiny-20260131-235959-k3qz", "attempt": 1, "configuration": "c0ffee", "world_size": 1,
        "step": 12, "serial": 1, "metric": 1.5, "part": 1, "parts": 1,
    }  # fmt: skip
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} - {"COMPLETE.json"}
    assert set(files) == present
    assert {"tokenizer/tokenizer.json", "tokenizer/deep/empty"} <= present
    for name, entry in files.items():
        data = (folder / name).read_bytes()
        assert entry == {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    assert store.tokenizer(12) == folder / "tokenizer"
    assert store.verify(12).ok
    assert store.complete(12).metric == 1.5


def test_the_directory_holds_only_what_the_format_names(store, save) -> None:
    save(1, metric=2.0)
    assert {path.name for path in store.directory.iterdir()} == {"step-1", "latest", "best", ".lock"}
    assert (store.directory / "latest").read_text() == "step-1\n"
    assert (store.latest(), store.best(), store.steps()) == (1, 1, [1])


def test_the_training_record_keeps_numbers_exactly(store, tensors) -> None:
    record = {"loss": 0.1 + 0.2, "big": 2**70, "text": "naïve \u2028", "limits": [math.inf, -math.inf], "none": None}
    store.save(1, tensors, record)
    store.wait()
    assert store.read_train(1) == record
    assert store.load(1, {name: torch.empty_like(t) for name, t in tensors.items()}) == record


def test_a_model_is_read_without_the_optimizers_files(store, save, tensors, kit) -> None:
    folder = save(1)
    [shard] = [
        p for p in folder.glob("shard-*") if any(k.startswith("optimizer") for k in safetensors.torch.load_file(p))
    ]
    shard.unlink()
    model = store.read_tensors(1, prefix="model.")
    assert kit.bits(model) == kit.bits({name: t for name, t in tensors.items() if name.startswith("model.")})
    assert not any(tensor.requires_grad for tensor in model.values())
    with pytest.raises(CheckpointError, match="No such file"):
        store.read_tensors(1)


def test_a_prefix_that_fits_nothing_is_an_error(store, save) -> None:
    save(1)
    with pytest.raises(CheckpointError, match=r"begins with 'modle\.'"):
        store.read_tensors(1, prefix="modle.")


def test_a_step_that_is_not_there(store, save) -> None:
    save(3)
    for call in (store.verify, store.read_train, store.complete, store.read_tensors):
        with pytest.raises(CheckpointError, match="no checkpoint of step 4") as caught:
            call(4)
        assert caught.value.exit_code == 10
        assert caught.value.why == "the steps that are there: 3"


def test_what_a_checkpoint_cannot_hold_is_named(store) -> None:
    with pytest.raises(CheckpointError, match=r"'a' is torch\.complex128, 'b' is dict, '__metadata__' is"):
        store.save(1, {"a": torch.zeros(1, dtype=torch.complex128), "b": {}, "__metadata__": torch.zeros(1)}, {})
    assert store.wait() == []


def test_no_tensors_at_all(store) -> None:
    store.save(1, {}, {"a": 1})
    assert isinstance(store.wait()[0], Saved)
    assert store.verify(1).ok
    assert store.load(1, {}) == {"a": 1}


def test_synchronous_saves_are_complete_on_return(make_store, tensors) -> None:
    store = make_store(asynchronous=False)
    store.save(1, tensors, {})
    assert store.verify(1).ok
    [result] = store.finished()
    assert isinstance(result, Saved)


def test_results_name_step_size_and_time(store, save, tensors) -> None:
    store.save(1, tensors, {})
    store.save(2, tensors, {})  # waits for the first
    assert [path.name for path in sorted(store.directory.glob("step-*"))][:1] == ["step-1"]
    first, second = store.wait()
    assert (first.step, second.step) == (1, 2)
    size = sum(path.stat().st_size for path in (store.directory / "step-1").rglob("*") if path.is_file())
    assert first.bytes == size
    assert 0 < first.stall <= first.seconds < 60
    assert store.finished() == []


def test_finished_does_not_wait(store, tensors, kit) -> None:
    [writer] = kit.writers()
    writer.suspend()
    store.save(1, tensors, {})
    assert store.finished() == []
    writer.resume()
    assert [result.step for result in store.wait()] == [1]


def test_close_finishes_the_save_under_way(make_store, tensors, kit) -> None:
    store = make_store()
    store.save(1, tensors, {})
    store.close()
    assert store.verify(1).ok
    assert isinstance(store.finished()[0], Saved)
    assert kit.writers() == []


def test_an_exception_in_the_block_does_not_lose_the_save(make_store, tensors) -> None:
    store = make_store()
    store.close()
    with pytest.raises(ZeroDivisionError), store:
        store.save(1, tensors, {})
        raise ZeroDivisionError
    assert store.verify(1).ok


def test_descriptors_do_not_leak(make_store, tensors) -> None:
    make_store().close()
    before = len(os.listdir("/proc/self/fd"))
    for step in range(3):
        store = make_store()
        store.save(step, tensors, {})
        store.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_the_writer_needs_no_packages() -> None:
    code = "import sys, hydra.training.checkpoint.writer, hydra.training.checkpoint; print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not {"torch", "numpy", "pydantic", "psutil", "yaml"} & set(
        done.stdout.replace("'", "").strip("[]\n").split(", ")
    )


shapes = st.lists(st.integers(0, 4), max_size=3).map(tuple)
dtypes = st.sampled_from(list(planning.NAMES))
names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(names, st.tuples(shapes, dtypes), max_size=6), st.integers(1, 200))
def test_any_tensors_survive(store, kit, monkeypatch, spec, shard_bytes) -> None:
    monkeypatch.setattr(planning, "SHARD_BYTES", shard_bytes)
    content = {}
    for name, (shape, dtype) in spec.items():
        width = torch.empty((), dtype=dtype).element_size()
        raw = torch.randint(0, 2 if dtype == torch.bool else 256, (math.prod(shape) * width,), dtype=torch.uint8)
        content[name] = raw.view(dtype).view(shape)
    store.save(1, content, {})
    [result] = store.wait()
    assert isinstance(result, Saved), result
    assert store.verify(1).ok
    target = {name: torch.empty_like(tensor) for name, tensor in content.items()}
    store.load(1, target)
    assert kit.bits(target) == kit.bits(content)
