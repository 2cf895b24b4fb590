"""A store on a temporary directory, some tensors, and the means to damage what was written."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from torch import Tensor

from hydra.manifest.sections import Checkpoint
from hydra.training.checkpoint import Checkpoints, CheckpointStore, Saved
from hydra.training.checkpoint.planning import make_plan
from hydra.training.checkpoint.request import SaveRequest

# A trainer without torch, so that killing it twenty times is quick: it saves one step after the other until it dies.
TRAINER = """
import dataclasses, os, signal, sys
from pathlib import Path
from hydra.training.checkpoint.process import WriterProcess
from hydra.training.checkpoint.request import SaveRequest

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda *_: None)
directory, image, template = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
memory = os.memfd_create("data")
os.write(memory, image.read_bytes())
request = SaveRequest.parse(template.read_bytes())
writer = WriterProcess(directory, memory)
first = 1 + max((int(p.name[5:]) for p in directory.glob("step-*")), default=0)
for step in range(first, first + 1000):
    facts = {**request.complete, "step": step, "serial": step}
    remove = (step - 2,) if step > first + 2 else ()
    writer.send(dataclasses.replace(request, step=step, complete=facts, remove=remove))
    reply = writer.receive(None)
    assert reply.error is None and reply.complaint is None, reply
    print(step, flush=True)
"""


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
    """The living writer processes that this process started."""
    living = [child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE]
    return [child for child in living if "hydra.training.checkpoint.writer" in child.cmdline()]


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


def only_sound_checkpoints(directory: Path) -> Checkpoints:
    """Nothing is left but complete checkpoints, their pointers and the lock."""
    checkpoints = Checkpoints(directory)
    steps = checkpoints.steps()
    assert all(checkpoints.verify(step).ok for step in steps)
    names = {path.name for path in directory.iterdir()}
    assert names <= {"latest", "best", ".lock", *(f"step-{step}" for step in steps)}, names
    return checkpoints


def children(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children()


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
        only_sound_checkpoints = staticmethod(only_sound_checkpoints)
        children = staticmethod(children)

    return Kit


@pytest.fixture
def trainer(tmp_path):
    """Starts the small trainer; returns its process."""
    tensors = {f"model.{i}": torch.randn(200_000) for i in range(4)}
    plan = make_plan(tensors)
    image = torch.zeros(plan.memory, dtype=torch.uint8)
    plan.stage(image)
    (tmp_path / "image").write_bytes(image.numpy().tobytes())
    complete = {
        "schema": 1, "run": "r", "attempt": 1, "step": 0, "serial": 0, "configuration": "c", "world_size": 1,
        "part": 1, "parts": 1, "metric": None, "created": 1.0,
    }  # fmt: skip
    documents = {"layout.json": plan.layout.model_dump_json(by_alias=True), "train.json": "{}"}
    request = SaveRequest(0, plan.memory, plan.shards, documents, None, complete, 0, False, None, None, ())
    (tmp_path / "template").write_bytes(request.line())
    started = []

    def start() -> subprocess.Popen[str]:
        (tmp_path / "checkpoints").mkdir(exist_ok=True)
        arguments = [tmp_path / "checkpoints", tmp_path / "image", tmp_path / "template"]
        command = [sys.executable, "-c", TRAINER, *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, process_group=0)
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()
