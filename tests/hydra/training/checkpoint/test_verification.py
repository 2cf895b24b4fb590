"""Damage of every kind is found, named, and never loaded or executed."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch

from hydra.errors import CheckpointError
from hydra.training.checkpoint import Checkpoints


class Hostile:
    """Unpickling this creates a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return (Path.touch, (self.mark,))


@pytest.fixture(scope="module")
def original(tmp_path_factory, one_checkpoint) -> Path:
    """One sound checkpoint, written once; every test damages a copy of it."""
    return one_checkpoint(tmp_path_factory.mktemp("original"))


@pytest.fixture
def store(tmp_path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints")


@pytest.fixture
def save(store, original):
    return lambda step: Path(shutil.copytree(original, store.directory / f"step-{step}"))


def edit(folder: Path, name: str, change) -> None:
    path = folder / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def both_refuse(store, tensors, match: str) -> None:
    """Verification reports it and loading refuses it, for the same reason."""
    verification = store.verify(1)
    assert not verification.ok
    with pytest.raises(CheckpointError, match=match):
        store.load(1, {name: torch.empty_like(tensor) for name, tensor in tensors.items()})
    with pytest.raises(CheckpointError, match=match):
        raise CheckpointError("\n".join(verification.problems), why="-", fix="-", example="-")


def shard_of(folder: Path, tensor: str) -> Path:
    layout = json.loads((folder / "layout.json").read_text())
    return folder / layout["tensors"][tensor]["chunks"][0]["file"]


def test_a_sound_checkpoint(store, save) -> None:
    folder = save(1)
    verification = store.verify(1)
    assert verification.ok
    assert verification.problems == ()
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert verification.bytes == size - (folder / "COMPLETE.json").stat().st_size


@pytest.mark.parametrize("position", [0, 9, -1])
def test_one_bit_of_a_shard(store, save, tensors, kit, position: int) -> None:
    kit.flip(shard_of(save(1), "counter"), position)
    both_refuse(store, tensors, r"shard-0000\d\.safetensors(: its header| has another SHA-256)")


@pytest.mark.parametrize("name", ["layout.json", "train.json"])
def test_one_bit_of_a_document(store, save, tensors, kit, name: str) -> None:
    kit.flip(save(1) / name)
    both_refuse(store, tensors, f"{name} has another SHA-256")


def test_a_shortened_shard(store, save, tensors) -> None:
    path = shard_of(save(1), "counter")
    path.write_bytes(path.read_bytes()[:-1])
    both_refuse(store, tensors, "instead of")


def test_a_lengthened_shard(store, save, tensors) -> None:
    path = shard_of(save(1), "counter")
    path.write_bytes(path.read_bytes() + b"x")
    both_refuse(store, tensors, "instead of")


@pytest.mark.parametrize("name", ["layout.json", "train.json", "shard-00000.safetensors", "COMPLETE.json"])
def test_a_missing_file(store, save, tensors, name: str) -> None:
    (save(1) / name).unlink()
    both_refuse(store, tensors, f"{name}.*(missing|No such file)|{name}: No such file")


def test_all_problems_are_listed_at_once(store, save, kit) -> None:
    folder = save(1)
    (folder / "train.json").unlink()
    (folder / "notes.txt").write_text("mine")
    kit.flip(folder / "layout.json")
    assert store.verify(1).problems == (
        "train.json is missing",
        "notes.txt does not belong to it",
        "layout.json has another SHA-256 than when it was written",
    )


def test_an_empty_directory_is_no_checkpoint(store) -> None:
    (store.directory / "step-1").mkdir(parents=True)
    assert store.verify(1).problems[0].endswith("COMPLETE.json: No such file or directory")


@pytest.mark.parametrize("name", ["shard-00000.safetensors", "train.json", "COMPLETE.json"])
def test_links_are_not_followed(store, save, tensors, tmp_path, name: str) -> None:
    path = save(1) / name
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    both_refuse(store, tensors, "[Ss]ymbolic link|not a regular file")


@pytest.mark.timeout(20)
def test_a_pipe_does_not_block(store, save, tensors) -> None:
    path = save(1) / "train.json"
    path.unlink()
    os.mkfifo(path)
    both_refuse(store, tensors, "not a regular file")


@pytest.mark.parametrize(
    "name", ["../outside", "/etc/passwd", "a/../../b", "a//b", "./a", "", "a\\b", "a\nb", "COMPLETE.json"]
)
def test_complete_cannot_name_files_outside(store, save, tensors, name: str) -> None:
    folder = save(1)
    edit(folder, "COMPLETE.json", lambda c: c["files"].update({name: {"size": 0, "sha256": "0" * 64}}))
    both_refuse(store, tensors, "is no file of a checkpoint")


@pytest.mark.parametrize(
    "change",
    [
        lambda c: c.pop("run"),
        lambda c: c.update(schema=2),
        lambda c: c.update(extra=1),
        lambda c: c.update(step=2),
        lambda c: c.update(step="1"),
        lambda c: c.update(metric="low"),
        lambda c: c.update(parts=2),
        lambda c: c["files"].pop("layout.json"),
        lambda c: c["files"]["layout.json"].update(size=-1),
        lambda c: c["files"]["layout.json"].update(sha256="A" * 64),
        lambda c: c["files"]["layout.json"].pop("size"),
    ],
)
def test_complete_is_read_strictly(store, save, tensors, change) -> None:
    edit(save(1), "COMPLETE.json", change)
    both_refuse(store, tensors, "COMPLETE.json")


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a": NaN}', "[" * 100_000])
def test_documents_that_are_not_what_they_should_be(store, save, tensors, kit, text: str) -> None:
    folder = save(1)
    (folder / "layout.json").write_text(text)
    kit.reseal(folder)
    both_refuse(store, tensors, "layout.json")
    (folder / "COMPLETE.json").write_text(text)
    both_refuse(store, tensors, "COMPLETE.json")


def chunk(layout, name: str = "model.embedding.weight"):
    return layout["tensors"][name]["chunks"][0]


LIES = {
    "a file outside": lambda t: chunk(t).update(file="../../secret"),
    "an absolute file": lambda t: chunk(t).update(file="/etc/passwd"),
    "a file that is no shard": lambda t: chunk(t).update(file="train.json"),
    "a shard that is not there": lambda t: chunk(t).update(file="shard-00099.safetensors"),
    "bytes after the end": lambda t: chunk(t).update(bytes=[x + 10**9 for x in chunk(t)["bytes"]]),
    "bytes before the start": lambda t: chunk(t).update(bytes=[-4, 864]),
    "too few bytes": lambda t: chunk(t).update(bytes=[8, 12]),
    "bytes of a neighbour": lambda t: chunk(t).update(bytes=[x - 4 for x in chunk(t)["bytes"]]),
    "a huge shape": lambda t: t["tensors"]["empty"].update(shape=[0, 2**62]),
    "a chunk outside of its tensor": lambda t: chunk(t).update(offset=[1, 0]),
    "a chunk of another rank": lambda t: chunk(t).update(offset=[0]),
    "a hole in a tensor": lambda t: t["tensors"]["model.embedding.weight"].update(shape=[32, 7]),
    "a chunk twice": lambda t: t["tensors"]["counter"]["chunks"].append(chunk(t, "counter")),
    "no chunk": lambda t: t["tensors"]["counter"].update(chunks=[]),
    "another dtype of the same width": lambda t: t["tensors"]["model.embedding.weight"].update(dtype="I32"),
    "an unknown dtype": lambda t: t["tensors"]["counter"].update(dtype="OBJECT"),
    "two tensors on one place": lambda t: t["tensors"].update(twin=t["tensors"]["counter"]),
    "another schema": lambda t: t.update(schema=2),
    "no schema": lambda t: t.pop("schema"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_layout_that_lies(store, save, tensors, kit, lie: str) -> None:
    folder = save(1)
    edit(folder, "layout.json", LIES[lie])
    kit.reseal(folder)
    assert not store.verify(1).ok
    with pytest.raises(CheckpointError):
        store.read_tensors(1)


def with_header(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def reheader(raw: bytes, change) -> bytes:
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    change(header)
    text = json.dumps(header, separators=(",", ":")).encode()
    assert len(text) <= length, "the lie must not move the data"
    return raw[:8] + text.ljust(length) + raw[8 + length :]


HEADERS = {
    "a huge length": lambda raw: (2**63).to_bytes(8, "little") + raw[8:],
    "a length beyond the file": lambda raw: len(raw).to_bytes(8, "little") + raw[8:],
    "no header": lambda raw: raw[:4],
    "an empty file": lambda raw: b"",
    "no JSON": lambda raw: with_header(b"\x80\x04."),
    "a list": lambda raw: with_header([]),
    "offsets after the end": lambda raw: reheader(raw, lambda h: h["counter"].update(data_offsets=[0, 999])),
    "offsets backwards": lambda raw: reheader(raw, lambda h: h["counter"].update(data_offsets=[24, 0])),
    "offsets shifted": lambda raw: reheader(raw, lambda h: h["counter"].update(data_offsets=[8, 32])),
    "another dtype": lambda raw: reheader(raw, lambda h: h["counter"].update(dtype="F64")),
    "another shape": lambda raw: reheader(raw, lambda h: h["counter"].update(shape=[1])),
    "another tensor": lambda raw: reheader(raw, lambda h: h.update(other=h.pop("counter"))),
    "no entry": lambda raw: reheader(raw, lambda h: h.pop("counter")),
    "an entry without offsets": lambda raw: reheader(raw, lambda h: h["counter"].pop("data_offsets")),
    "data behind the tensors": lambda raw: raw + b"x",
}


@pytest.mark.parametrize("lie", HEADERS)
def test_a_safetensors_header_that_lies(store, save, tensors, kit, lie: str) -> None:
    folder = save(1)
    path = shard_of(folder, "counter")
    path.write_bytes(HEADERS[lie](path.read_bytes()))
    kit.reseal(folder)
    both_refuse(store, tensors, path.name)


@pytest.mark.parametrize("name", ["evil.pkl", ".metadata", "__0_0.distcp", "pytorch_model.bin", "tokenizer/data.pkl"])
def test_a_pickle_beside_the_shards_is_reported_and_never_opened(store, save, tensors, tmp_path, name: str) -> None:
    folder, mark = save(1), tmp_path / "executed"
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(pickle.dumps(Hostile(mark)))
    assert store.verify(1).problems == (f"{name} does not belong to it",)
    store.load(1, {key: torch.empty_like(tensor) for key, tensor in tensors.items()})
    assert store.newest_verified()[0] is None
    assert not mark.exists()


@pytest.mark.parametrize("name", ["shard-00000.safetensors", "layout.json", "train.json", "COMPLETE.json"])
def test_a_pickle_in_the_place_of_a_file_is_never_executed(store, save, tensors, kit, tmp_path, name: str) -> None:
    folder, mark = save(1), tmp_path / "executed"
    (folder / name).write_bytes(pickle.dumps(Hostile(mark)))
    if name != "COMPLETE.json":
        kit.reseal(folder)
    assert not store.verify(1).ok or name == "train.json"
    with pytest.raises((CheckpointError, ValueError)):
        store.load(1, {key: torch.empty_like(tensor) for key, tensor in tensors.items()})
    assert not mark.exists()
    pickle.loads(pickle.dumps(Hostile(mark)))
    assert mark.exists(), "the trap itself works"
