"""The writer process for real: killed, orphaned, signalled; and its parent killed at random moments."""

from __future__ import annotations

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch

from hydra.errors import RunLocked
from hydra.training.checkpoint import Checkpoints, Saved, SaveFailure, recovery
from hydra.training.checkpoint.planning import make_plan
from hydra.training.checkpoint.process import WriterProcess
from hydra.training.checkpoint.recovery import take_lock
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


def test_the_trainer_is_killed_at_random_moments(trainer, make_store, tmp_path) -> None:
    """12 kills: no writer survives, what was reported is there, what is there is sound, and work goes on from it."""
    generator = random.Random(0)
    directory = tmp_path / "checkpoints"
    reported = 0
    for _ in range(12):
        process = trainer()
        if generator.random() < 0.7:
            reported = int(process.stdout.readline())
        time.sleep(generator.random() * 0.12)
        orphans = children(process)
        process.kill()
        reported = max([reported, *map(int, process.stdout.read().split())])
        store = make_store()
        assert not any(orphan.is_running() and orphan.status() != "zombie" for orphan in orphans)
        checkpoints = only_sound_checkpoints(directory)
        newest, rejected = store.newest_verified()
        assert rejected == []
        assert newest is None or newest >= reported
        assert (newest is None) == (reported == 0 and not checkpoints.steps())
        assert store.latest() == newest
        store.close()
    assert reported > 5


def test_the_writer_is_killed_at_random_moments(make_store, tensors, kit) -> None:
    """The trainer survives: the save in flight is a failure, everything before and after it is sound."""
    generator = random.Random(1)
    big = {**tensors, "model.big": torch.randn(2_000_000)}
    store = make_store(keep_last=3)
    saved, failed = [], []
    for step in range(1, 16):
        store.save(step, big, {"step": step})
        if step % 2:
            time.sleep(generator.random() * 0.06)
            kit.writers()[0].kill()
        for result in store.wait():
            (saved if isinstance(result, Saved) else failed).append(result)
    assert saved
    assert failed
    assert all("killed by SIGKILL" in failure.reason for failure in failed)
    store.close()
    make_store().close()
    only_sound_checkpoints(store.directory)
    assert set(store.steps()) >= {result.step for result in saved[-2:]}


def test_a_dead_writer_is_replaced_by_the_next_save(store, save, tensors, kit) -> None:
    save(1)
    [writer] = kit.writers()
    writer.kill()
    writer.wait()
    save(2)
    assert kit.writers()[0].pid != writer.pid
    assert store.steps() == [1, 2]


def test_a_writer_that_dies_while_idle_does_not_fail_close(make_store, save, store, kit) -> None:
    kit.writers()[0].kill()
    store.close()
    assert store.finished() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2])
def test_signals_for_the_trainer_do_not_reach_the_save(store, tensors, kit, number: int) -> None:
    [writer] = kit.writers()
    for _ in range(3):
        writer.send_signal(number)  # also before its first instruction
    store.save(1, {**tensors, "model.big": torch.randn(500_000)}, {})
    writer.send_signal(number)
    assert [type(result) for result in store.wait()] == [Saved]
    assert kit.writers() == [writer]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_goes_to_the_whole_group_and_saving_goes_on(trainer, number: int) -> None:
    """The trainer only notes the signal; it then finds its writer alive and its save complete."""
    process = trainer()
    first = int(process.stdout.readline())
    [writer] = children(process)
    assert os.getpgid(writer.pid) == os.getpgid(process.pid) == process.pid
    for step in range(first + 1, first + 4):
        os.killpg(process.pid, number)
        assert int(process.stdout.readline()) == step
    assert children(process) == [writer]


def test_starting_a_writer_restores_the_trainers_signals(store) -> None:
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, []) & {signal.SIGINT, signal.SIGTERM}


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's parent-death signal exists on Linux only")
def test_a_suspended_writer_dies_with_its_parent(trainer, tmp_path, make_store) -> None:
    """Frozen in the middle of a save it cannot look at its parent; the kernel ends it all the same."""
    process = trainer()
    process.stdout.readline()
    [writer] = children(process)
    writer.suspend()
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs([writer], timeout=10)
    assert not alive
    make_store()
    only_sound_checkpoints(tmp_path / "checkpoints")


def test_an_orphan_stops_before_it_changes_anything(tmp_path) -> None:
    """Without the kernel's help: a writer whose parent is not the one it was told ends at once."""
    arguments = [sys.executable, "-m", "hydra.training.checkpoint.writer", str(tmp_path), "1", "0"]
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")
    assert list(tmp_path.iterdir()) == []


def test_the_parent_is_looked_at_between_pieces(tmp_path) -> None:
    """The same in the middle of a save, with the kernel's signal switched off."""
    code = f"""
import os, sys, time
from pathlib import Path
from hydra.training.checkpoint.writer import Parent
from hydra.training.checkpoint.durable import write
if os.fork() == 0:
    parent = Parent(os.getppid())
    def pieces():
        for number in range(1000):
            yield b"x"
            time.sleep(0.01)
    write(Path({str(tmp_path)!r}) / "file", pieces(), parent)
    os._exit(0)
time.sleep(0.2)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    time.sleep(0.1)
    size = (tmp_path / "file").stat().st_size
    time.sleep(0.2)
    assert 0 < size == (tmp_path / "file").stat().st_size < 1000


def test_a_new_trainer_waits_for_the_old_writer(make_store, store, tmp_path) -> None:
    """The lock belongs to the writer: it is free when that process can do nothing more, not when its trainer dies."""
    with pytest.raises(RunLocked) as caught:
        take_lock(store.directory, patience=0.1)
    assert caught.value.exit_code == 6
    threading.Timer(0.3, store.close).start()
    started = time.monotonic()
    make_store()
    assert time.monotonic() - started > 0.2


def test_two_stores_on_one_directory(store, make_store, monkeypatch) -> None:
    monkeypatch.setattr(recovery.take_lock, "__defaults__", (0.1,))
    with pytest.raises(RunLocked, match="another process writes checkpoints"):
        make_store()


def test_readers_need_no_lock(store, save) -> None:
    save(1)
    assert Checkpoints(store.directory).newest_verified() == (1, [])


def test_the_trainer_does_not_hold_the_lock_itself(store, kit) -> None:
    """Or a forked worker of a killed trainer would keep the next one out."""
    kit.writers()[0].kill()
    kit.writers()[0].wait()
    descriptor = os.open(store.directory / ".lock", os.O_RDWR)
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(descriptor)


def test_what_an_earlier_attempt_left_is_cleared(store, save, make_store) -> None:
    folder = save(1)
    store.close()
    (store.directory / ".tmp-step-2").mkdir()
    (store.directory / ".tmp-step-2" / "shard-00000.safetensors").write_bytes(b"half")
    (store.directory / ".trash-step-0").mkdir()
    folder.rename(store.directory / ".replaced-step-1")
    store = make_store()
    assert only_sound_checkpoints(store.directory).steps() == [1]


def test_the_writer_must_be_started_by_the_main_thread(tmp_path) -> None:
    errors = []

    def start() -> None:
        try:
            WriterProcess(tmp_path, 0)
        except AssertionError as error:
            errors.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert errors == ["the writer would die with this thread"]


def test_a_real_trainer_is_killed(tmp_path, kit) -> None:
    """With torch and the store itself: every tensor of what is left belongs to one and the same step."""
    code = f"""
import sys, torch
from pathlib import Path
from hydra.manifest.sections import Checkpoint
from hydra.training.checkpoint import CheckpointStore
policy = Checkpoint.model_validate({{"keep_last": 2}})
store = CheckpointStore(Path({str(tmp_path)!r}), run="r", attempt=1, configuration="c", keep=policy)
tensors = {{f"model.{{i}}": torch.zeros(300_000) for i in range(4)}}
with store:
    for step in range(1, 100000):
        for tensor in tensors.values():
            tensor.fill_(step)
        store.save(step, tensors, {{"step": step}}, metric=1 / step)
        for result in store.finished():
            print(result.step, flush=True)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    for _ in range(4):
        reported = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    descriptor = take_lock(tmp_path)
    recovery.recover(tmp_path)
    os.close(descriptor)
    checkpoints = only_sound_checkpoints(tmp_path)
    newest, _ = checkpoints.newest_verified()
    assert newest is not None
    assert newest >= reported
    for step in checkpoints.steps():
        loaded = checkpoints.read_tensors(step)
        assert {float(value) for tensor in loaded.values() for value in tensor.unique()} == {float(step)}
        assert checkpoints.read_train(step) == {"step": step}
    assert json.loads((tmp_path / f"step-{newest}" / "COMPLETE.json").read_text())["step"] == newest


def test_failure_is_a_result_not_an_exception(store, tensors, kit) -> None:
    kit.writers()[0].suspend()
    store.save(1, tensors, {})
    kit.writers()[0].kill()
    [result] = store.wait()
    assert isinstance(result, SaveFailure)
    assert result.step == 1
