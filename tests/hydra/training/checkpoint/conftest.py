"""A store on a temporary directory, some tensors, and the means to damage what was written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor

from hydra.manifest.sections import Checkpoint
from hydra.training.checkpoint import CheckpointStore, Saved


def make_tensors(seed: int = 0) -> dict[str, Tensor]:
    """Every dtype that a training state holds, and awkward shapes."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "model.embedding.weight": torch.randn(31, 7, generator=generator),
        "model.head.weight": torch.randn(5, 3, generator=generator).to(torch.bfloat16),
        "model.transposed": torch.randn(4, 6, generator=generator).t(),
        "model.parameter": torch.nn.Parameter(torch.randn(3, generator=generator)),
        "optimizer.embedding.weight.exp_avg": torch.randn(31, 7, generator=generator),
        "optimizer.embedding.weight.step": torch.tensor(float(seed)),
        "rng.cpu": torch.randint(0, 256, (5056,), generator=generator, dtype=torch.uint8),
        "counter": torch.randint(-(2**60), 2**60, (3,), generator=generator),
        "flags": torch.tensor([True, False, True]),
        "empty": torch.empty(0, 4),
    }


def bits(tensors: dict[str, Tensor]) -> dict[str, tuple[str, tuple[int, ...], bytes]]:
    """Everything that must survive: dtype, shape, bytes."""
    return {
        name: (
            str(t.dtype),
            tuple(t.shape),
            t.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if t.numel() else b"",
        )
        for name, t in tensors.items()
    }


def like(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors of the same kinds with other content, to be loaded into."""
    return {name: torch.full_like(t, 1, requires_grad=False) for name, t in tensors.items()}


def writers() -> list[psutil.Process]:
    """The writer processes that this process started."""
    return [child for child in psutil.Process().children() if "hydra.training.checkpoint.writer" in child.cmdline()]


def reseal(folder: Path) -> None:
    """Make COMPLETE.json agree with whatever the files hold now, as somebody with bad intentions would."""
    path = folder / "COMPLETE.json"
    complete = json.loads(path.read_text())
    for name in complete["files"]:
        data = (folder / name).read_bytes()
        complete["files"][name] = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    path.write_text(json.dumps(complete))


def flip(path: Path, position: int = -1) -> None:
    """Change one bit of a file."""
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


@pytest.fixture
def tensors() -> dict[str, Tensor]:
    return make_tensors()


@pytest.fixture
def make_store(tmp_path: Path) -> Iterator[Callable[..., CheckpointStore]]:
    """Opens stores on one directory; closes the last one."""
    opened: list[CheckpointStore] = []

    def make(directory: Path | None = None, attempt: int = 1, **policy: Any) -> CheckpointStore:
        store = CheckpointStore(
            directory or tmp_path / "checkpoints",
            run="tiny-20260131-235959-k3qz",
            attempt=attempt,
            configuration="c0ffee",
            keep=Checkpoint.model_validate({"keep_last": 100, "keep_best": 0, **policy}),
        )
        opened.append(store.open())
        return store

    yield make
    for store in opened:
        store.close()


@pytest.fixture(scope="session")
def one_checkpoint() -> Callable[[Path], Path]:
    """Writes the checkpoint of step 1 below a directory and returns its folder."""

    def write(directory: Path) -> Path:
        keep = Checkpoint.model_validate({})
        with CheckpointStore(directory, run="r", attempt=1, configuration="c", keep=keep) as store:
            store.save(1, make_tensors(), {"step": 1})
            assert isinstance(store.wait()[0], Saved)
        return directory / "step-1"

    return write


@pytest.fixture
def store(make_store: Callable[..., CheckpointStore]) -> CheckpointStore:
    return make_store()


@pytest.fixture
def save(store: CheckpointStore, tensors: dict[str, Tensor]) -> Callable[..., Path]:
    """Saves a step in `store`, insists that it worked, returns the checkpoint's folder."""

    def one(step: int, content: dict[str, Tensor] | None = None, **options: Any) -> Path:
        store.save(step, content or tensors, {"step": step}, **options)
        [result] = store.wait()
        assert isinstance(result, Saved), result
        return store.directory / f"step-{step}"

    return one


#: Plain functions for tests, as fixtures because test folders are no packages.
@pytest.fixture
def kit() -> Any:
    class Kit:
        make_tensors = staticmethod(make_tensors)
        bits = staticmethod(bits)
        like = staticmethod(like)
        writers = staticmethod(writers)
        reseal = staticmethod(reseal)
        flip = staticmethod(flip)

    return Kit
