"""The newest good checkpoint, by the same rules as hydra, over checkpoints that hydra's own writer wrote."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.remote import checkpoints, verify
from fleet.remote.checkpoints import Rejected, Verified
from fleet.remote.events import append
from fleet.remote.places import RunFiles
from hydra.runs import last_resume, read_events
from hydra.training.checkpoint.commit import commit
from hydra.training.checkpoint.reading import Checkpoints
from hydra.training.checkpoint.request import SaveRequest, Shard

#: Random damages that hydra and this code must judge alike.
DAMAGES = 60


@pytest.fixture
def files(tmp_path: Path) -> RunFiles:
    """An empty run directory."""
    found = RunFiles(str(tmp_path / "runs" / "run-a"))
    found.create()
    return found


def save(files: RunFiles, step: int, *, serial: int | None = None, attempt: int = 1) -> Path:
    """A checkpoint, as the trainer's writer process makes one; its tensors are two empty shards."""
    directory = Path(files.checkpoints)
    header = '{"__metadata__":{}}'
    complete = {
        "schema": 1, "run": "run-a", "attempt": attempt, "step": step, "serial": step if serial is None else serial,
        "configuration": "c", "world_size": 1, "part": 1, "parts": 1, "metric": None, "created": 0.0,
    }  # fmt: skip
    request = SaveRequest(
        step=step,
        memory=0,
        shards=(Shard(file="shard-00000.safetensors", header=header, offset=0, length=0),),
        documents={"layout.json": '{"schema": 1, "tensors": {}}', "train.json": "{" + " " * 300_000 + "}"},
        tokenizer=None,
        complete=complete,
        room=0,
        read_back=False,
        aside=None,
        best=None,
        remove=(),
    )
    commit(directory, request, memoryview(b""), lambda: None)
    return directory / f"step-{step}"


def truncate(folder: Path) -> None:
    with (folder / "train.json").open("r+b") as file:
        file.truncate(100)


def flip(folder: Path) -> None:
    with (folder / "train.json").open("r+b") as file:
        file.seek(150_000)
        file.write(b"\x01")


def complete(folder: Path, **changes: Any) -> None:
    path = folder / "COMPLETE.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def link(folder: Path) -> None:
    os.rename(folder / "train.json", folder.parent / "elsewhere")
    (folder / "train.json").symlink_to(folder.parent / "elsewhere")


BREAKS: dict[str, Callable[[Path], object]] = {
    "truncated": truncate,
    "flipped": flip,
    "missing": lambda folder: (folder / "train.json").unlink(),
    "additional": lambda folder: (folder / "other").write_text("x"),
    "no COMPLETE": lambda folder: (folder / "COMPLETE.json").unlink(),
    "empty COMPLETE": lambda folder: (folder / "COMPLETE.json").write_text(""),
    "other step": lambda folder: complete(folder, step=7),
    "hostile names": lambda folder: complete(folder, files={"../../x": {"size": 1, "sha256": "0" * 64}}),
    "nothing listed": lambda folder: complete(folder, files={}),
    "odd schema": lambda folder: complete(folder, schema=9),
    "link": link,
    "directory": lambda folder: (
        shutil.move(folder / "train.json", folder.parent / "x"),
        (folder / "train.json").mkdir(),
    ),
}


@pytest.mark.parametrize("name", list(BREAKS))
def test_a_torn_newest_is_passed_over_and_kept(files: RunFiles, name: str) -> None:
    save(files, 5)
    newest = save(files, 10)
    before = checkpoints.newest(files)
    assert before.verified is not None and before.verified.step == 10 and not before.verified.quick
    BREAKS[name](newest)
    found = checkpoints.newest(files)
    assert found.verified is not None and found.verified.step == 5
    assert [rejected.step for rejected in found.rejected] == [10] and found.rejected[0].problems
    assert newest.is_dir()
    assert not Checkpoints(Path(files.checkpoints)).verify(10).ok


def test_the_newest_is_the_one_that_hydra_takes(files: RunFiles) -> None:
    """Resumes from older steps leave branches; serial numbers and the step that was begun at tell them apart."""
    random_source = random.Random(4)
    serial, attempt = 0, 1
    for _ in range(DAMAGES):
        step = random_source.choice([5, 10, 15, 20, 25])
        action = random_source.random()
        present = checkpoints.steps(files)
        if action < 0.5 or not present:
            serial += 1
            shutil.rmtree(Path(files.checkpoints) / f"step-{step}", ignore_errors=True)
            save(files, step, serial=serial, attempt=attempt)
        elif action < 0.75:
            attempt += 1
            append(files.events, "run.resumed", attempt=attempt, data={"step": random_source.choice(present)})
        else:
            truncate(Path(files.checkpoints) / f"step-{random_source.choice(present)}")
        theirs = Checkpoints(Path(files.checkpoints)).newest_verified(
            last_resume(read_events(Path(files.events)).events)
        )
        ours = checkpoints.newest(files)
        assert (None if ours.verified is None else ours.verified.step) == theirs[0]
        assert [one.step for one in ours.rejected] == [one.step for one in theirs[1]]


def test_without_time_sizes_and_ends_must_do(files: RunFiles) -> None:
    folder = save(files, 5)
    flip(folder)
    found = checkpoints.verify(files, 5, budget=0.0)
    assert isinstance(found, Verified) and found.quick and found.field() == {"step": 5, "quick": True}
    truncate(folder)
    assert isinstance(checkpoints.verify(files, 5, budget=0.0), Rejected)


def test_the_command_verify(files: RunFiles) -> None:
    deploy_dir = str(Path(files.path).parents[1])
    request = {"deploy_dir": deploy_dir, "run": "run-a"}
    assert verify.main(request) == ({"run": "run-a", "step": None, "quick": False, "rejected": []}, 0)
    save(files, 5)
    truncate(save(files, 10))
    answer, status = verify.main({**request, "step": None})
    assert status == 0 and answer["step"] == 5 and [one["step"] for one in answer["rejected"]] == [10]
    assert verify.main({**request, "step": 5})[0]["step"] == 5
    answer, status = verify.main({**request, "step": 10})
    assert (
        status == 1
        and answer["error"]["kind"] == "unverified"
        and "train.json has 100 bytes" in answer["error"]["what"]
    )
    answer, status = verify.main({**request, "step": 7})
    assert status == 1 and answer["error"]["kind"] == "not-found" and "5, 10" in answer["error"]["why"]
    truncate(Path(files.checkpoints) / "step-5")
    assert verify.main(request)[0]["error"]["kind"] == "unverified"


def test_pointers_are_read_with_suspicion(files: RunFiles) -> None:
    assert checkpoints.pointed(files, "best") is None
    (Path(files.checkpoints) / "best").write_text("step-1200\n")
    assert checkpoints.pointed(files, "best") == 1200
    (Path(files.checkpoints) / "best").write_bytes(b"step-\xff" * 100)
    assert checkpoints.pointed(files, "best") is None
