"""A kill before every single system call of a save, one after the other: only the old state or the new one is left."""

from __future__ import annotations

import dataclasses
import errno
import math
import mmap
import os
import shutil
from pathlib import Path

import pytest
import torch

from hydra.training.checkpoint import Checkpoints, names
from hydra.training.checkpoint.commit import commit, tidy
from hydra.training.checkpoint.durable import digest_of
from hydra.training.checkpoint.planning import Plan, make_plan
from hydra.training.checkpoint.recovery import recover
from hydra.training.checkpoint.request import SaveRequest

CALLS = ("open", "write", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir")


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, so nothing is cleaned up."""


class Countdown:
    """Lets some system calls pass; then every further one kills, or the next one fails with an error of the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.after(math.inf)
        for name in CALLS:
            monkeypatch.setattr(os, name, self._guarded(getattr(os, name)))

    def _guarded(self, call):
        def guarded(*arguments, **options):
            self.made += 1
            if self.made > self._calls and self._error is None:
                raise Killed
            if self.made == self._calls + 1:
                raise self._error
            return call(*arguments, **options)

        return guarded

    def after(self, calls: float, error: OSError | None = None) -> None:
        self._calls, self._error, self.made = calls, error, 0


@pytest.fixture
def countdown(monkeypatch) -> Countdown:
    # Threads would make the order of calls, and so the meaning of a number, change from run to run.
    monkeypatch.setattr("hydra.training.checkpoint.commit.THREADS", 1)
    return Countdown(monkeypatch)


@pytest.fixture
def restart(tmp_path, countdown):
    """Puts a directory into its first state: two checkpoints, the older with the best metric."""
    template, directory = tmp_path / "template", tmp_path / "checkpoints"
    template.mkdir()
    for step, serial in ((1, 1), (2, 2)):
        write(template, step, serial, best=1)

    def again() -> Path:
        countdown.after(math.inf)
        if directory.exists():
            shutil.rmtree(directory)
        shutil.copytree(template, directory)
        countdown.after(math.inf)
        return directory

    return again


def content(step: int) -> dict[str, torch.Tensor]:
    return {"model.w": torch.full((100,), float(step)), "optimizer.w.step": torch.tensor(float(step))}


def request(plan: Plan, step: int, serial: int, **changes) -> SaveRequest:
    complete = {
        "schema": 1, "run": "r", "attempt": 1, "step": step, "serial": serial, "configuration": "c", "world_size": 1,
        "part": 1, "parts": 1, "metric": None, "created": 1.0,
    }  # fmt: skip
    made = SaveRequest(
        step=step,
        memory=plan.memory,
        shards=plan.shards,
        documents={"layout.json": plan.layout.model_dump_json(by_alias=True), "train.json": f'{{"serial": {serial}}}'},
        tokenizer=None,
        complete=complete,
        room=0,
        read_back=False,
        aside=None,
        best=None,
        remove=(),
    )
    return dataclasses.replace(made, **changes)


def write(directory: Path, step: int, serial: int, **changes) -> None:
    plan = make_plan(content(step))
    data = mmap.mmap(-1, plan.memory)
    plan.stage(torch.frombuffer(data, dtype=torch.uint8))
    made = request(plan, step, serial, **changes)
    commit(directory, made, memoryview(data), lambda: None)
    tidy(directory, made, lambda: None)


def serials(directory: Path) -> dict[int, int]:
    """What is there after a restart; everything must verify, the pointers must name something that is there."""
    recover(directory)
    checkpoints = Checkpoints(directory)
    steps = checkpoints.steps()
    for step in steps:
        assert checkpoints.verify(step).ok, checkpoints.verify(step).problems
        record = {name: torch.zeros_like(tensor) for name, tensor in content(step).items()}
        checkpoints.load(step, record)
        assert all(torch.equal(record[name], tensor) for name, tensor in content(step).items())
    assert checkpoints.latest() in steps
    assert checkpoints.best() in steps
    expected = {names.folder(step) for step in steps} | {names.LATEST, names.BEST}
    assert {path.name for path in directory.iterdir()} == expected
    return {step: checkpoints.complete(step).serial for step in steps}


TWO, THREE = {1: 1, 2: 2}, {1: 1, 2: 2, 3: 3}
CASES = {
    "one more": ({"step": 3, "serial": 3, "best": 1}, TWO, THREE),
    "the oldest goes": ({"step": 3, "serial": 3, "best": 2, "remove": (1,)}, TWO, {2: 2, 3: 3}),
    "the same step again": ({"step": 2, "serial": 3, "best": 1}, TWO, {1: 1, 2: 3}),
    "with a tokenizer, read back": ({"step": 3, "serial": 3, "best": 3, "read_back": True}, TWO, THREE),
}


@pytest.mark.parametrize("case", CASES)
def test_a_kill_before_any_system_call(tmp_path, countdown, restart, case: str) -> None:
    changes, before, after = CASES[case]
    if "tokenizer" in case:
        (tmp_path / "source" / "deep").mkdir(parents=True)
        (tmp_path / "source" / "deep" / "file").write_text("content")
        changes = {**changes, "tokenizer": str(tmp_path / "source")}
    directory = restart()
    write(directory, **changes)
    total = countdown.made
    assert total > 25
    assert serials(directory) == after
    seen = []
    for calls in range(total):
        restart()
        countdown.after(calls)
        with pytest.raises(Killed):
            write(directory, **changes)
        countdown.after(math.inf)
        seen.append(serials(directory))
    # Old, then new and old together, then new: never less, never anything else, never back.
    order = [before, {**before, **after}, after]
    places = [order.index(found) for found in seen]
    assert places == sorted(places)
    assert (places[0], order[places[-1]]) == (0, after)


def test_a_kill_during_recovery(countdown, restart) -> None:
    """Recovery itself may be killed; the next one finishes the work."""

    def mess() -> Path:
        directory = restart()
        (directory / "step-2").rename(directory / ".replaced-step-2")
        shutil.copytree(directory / "step-1", directory / ".replaced-step-1")
        shutil.copytree(directory / "step-1", directory / ".tmp-step-9")
        shutil.copytree(directory / "step-1", directory / ".trash-step-8")
        (directory / ".latest.tmp").write_text("step-")
        countdown.after(math.inf)
        return directory

    directory = mess()
    recover(directory)
    total = countdown.made
    assert total > 10
    for calls in range(total):
        mess()
        countdown.after(calls)
        with pytest.raises(Killed):
            recover(directory)
        countdown.after(math.inf)
        assert serials(directory) == {1: 1, 2: 2}


def test_a_disk_error_at_any_system_call(countdown, restart) -> None:
    """The old checkpoints survive a disk that fails, and what was begun is removed at once."""
    directory = restart()
    write(directory, 3, 3, best=1)
    failed = 0
    for calls in range(countdown.made):
        restart()
        countdown.after(calls, OSError(errno.EIO, "Input/output error"))
        try:
            write(directory, 3, 3, best=1)
        except OSError:
            failed += 1
        assert not (directory / ".tmp-step-3").exists()
        countdown.after(math.inf)
        assert serials(directory) in ({1: 1, 2: 2}, {1: 1, 2: 2, 3: 3})
    assert failed > 20


def test_everything_is_on_the_disk_before_it_is_named(restart, monkeypatch) -> None:
    """Power loss: each file and its directory are synced before the rename, the rename before `latest` moves."""
    directory = restart()
    log: list[tuple[str, str]] = []
    fsync, rename, replace = os.fsync, os.rename, os.replace

    def name(path: os.PathLike[str] | str) -> str:
        return str(Path(path).relative_to(directory))

    monkeypatch.setattr(
        os, "fsync", lambda fd: (log.append(("sync", name(os.readlink(f"/proc/self/fd/{fd}")))), fsync(fd))
    )
    monkeypatch.setattr(os, "rename", lambda a, b: (log.append(("rename", name(b))), rename(a, b)))
    monkeypatch.setattr(os, "replace", lambda a, b: (log.append(("rename", name(b))), replace(a, b)))
    write(directory, 3, 3, best=1)
    begun = [f".tmp-step-3/{path.name}" for path in (directory / "step-3").iterdir()]
    published = log.index(("rename", "step-3"))
    assert {("sync", name) for name in begun} | {("sync", ".tmp-step-3")} == set(log[:published])
    assert log.index(("sync", ".tmp-step-3/COMPLETE.json")) == published - 2
    assert log[published - 1] == ("sync", ".tmp-step-3")
    assert log[published + 1 : published + 5] == [
        ("sync", "."), ("sync", ".latest.tmp"), ("rename", "latest"), ("sync", "."),
    ]  # fmt: skip


def test_read_back_compares_what_the_disk_holds(tmp_path, monkeypatch) -> None:
    """A disk that stores something else than it was given is caught by reading again, and only then."""
    lying = tmp_path / "lying"

    def other(path: Path, *, from_disk: bool = False):
        assert from_disk
        found = digest_of(path)
        return dataclasses.replace(found, sha256="0" * 64) if path.name == "train.json" else found

    monkeypatch.setattr("hydra.training.checkpoint.commit.digest_of", other)
    for read_back in (False, True):
        lying.mkdir()
        if read_back:
            with pytest.raises(OSError, match="read back differs"):
                write(lying, 1, 1, read_back=True)
            assert list(lying.iterdir()) == []
        else:
            write(lying, 1, 1)
            assert Checkpoints(lying).verify(1).ok
            shutil.rmtree(lying)
