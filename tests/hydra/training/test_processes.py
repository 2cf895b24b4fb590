"""What only separate processes show: signals, locks, several ranks, kill -9."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from hydra.runs import RunDirectory, final_record, observed_state, read_events, read_metrics, read_progress, request

ROOT = Path(__file__).resolve().parents[3]
LONG = {"training.steps": 100_000, "checkpoint.every": 0}


def wait_for_step(folder: Path, step: int, process: subprocess.Popen[str]) -> RunDirectory:
    """The run of a process, once it has done some steps."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        for path in (folder / "runs").glob("*/progress.json"):
            progress = read_progress(path)
            if progress is not None and progress.step >= step:
                return RunDirectory(path.parent)
        time.sleep(0.05)
    raise AssertionError("the run did not get going")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_exits_0_with_the_step_printed(manifest, trainer, folder, number):
    process = trainer(str(manifest(LONG)))
    run = wait_for_step(folder, 3, process)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    saved = int(re.search(r"saved step (\d+)", out).group(1))
    final = final_record(read_events(run.events).events)
    assert (final.kind, final.data["saved_step"]) == ("run.stopped", saved)
    assert (run.checkpoints / f"step-{saved}" / "COMPLETE.json").exists()
    assert read_metrics(run.metrics).rows[-1]["step"] == saved
    assert observed_state(run).state == "stopped"


def test_usr1_saves_and_goes_on(manifest, trainer, folder):
    process = trainer(str(manifest(LONG)))
    run = wait_for_step(folder, 3, process)
    process.send_signal(signal.SIGUSR1)
    deadline = time.monotonic() + 60
    while not list(run.checkpoints.glob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert process.poll() is None
    assert list(run.checkpoints.glob("step-*"))
    process.kill()
    process.communicate()


def test_a_file_asks_to_stop(manifest, trainer, folder):
    process = trainer(str(manifest(LONG)))
    run = wait_for_step(folder, 3, process)
    request(run, "stop")
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "saved step" in out


def test_a_second_interrupt_aborts_with_130(manifest, trainer, folder):
    process = trainer(str(manifest(LONG)))
    run = wait_for_step(folder, 3, process)
    os.kill(process.pid, signal.SIGINT)
    os.kill(process.pid, signal.SIGINT)
    _, err = process.communicate(timeout=60)
    # Both may arrive before the first is looked at, or the save may win the race: either way the run ends and says how.
    assert process.returncode in (0, 130), err
    assert observed_state(run).state == "stopped"


def test_a_killed_run_is_seen_as_lost_and_a_live_one_cannot_be_resumed(manifest, trainer, folder):
    process = trainer(str(manifest(LONG)))
    run = wait_for_step(folder, 3, process)
    second = trainer("--resume", "latest", "--directory", str(folder / "runs"))
    _, err = second.communicate(timeout=60)
    assert second.returncode == 6, err
    assert str(process.pid) in err
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert observed_state(run).state == "lost"


def test_killed_at_random_moments_and_resumed_it_is_the_same_run(tmp_path):
    script = ROOT / "tests" / "faults" / "kill_resume.py"
    done = subprocess.run(
        [sys.executable, str(script), "--trials", "3", "--seed", "101", "--work", str(tmp_path / "work")],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 equal" in done.stdout


def ranks(manifest: Path, count: int, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Train under torchrun on this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={count}"]
    command = [*launcher, str(ROOT / "trainer.py"), str(manifest), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=manifest.parent, timeout=300)


def test_two_processes_equal_one_at_the_same_global_batch(manifest, train, folder):
    alone = manifest({"runs.directory": str(folder / "one"), "evaluation.every": 4}, "one.yaml")
    train(alone)
    both = manifest({"runs.directory": str(folder / "two"), "evaluation.every": 4}, "two.yaml")
    done = ranks(both, 2)
    assert done.returncode == 0, done.stderr
    first, second = (RunDirectory(next((folder / name).iterdir())) for name in ("one", "two"))
    left, right = read_metrics(first.metrics).rows, read_metrics(second.metrics).rows
    assert len(left) == len(right) == 12
    for one, two in zip(left, right, strict=True):
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert two["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-4)
        assert two["tokens"] == one["tokens"]
        assert two.get("eval.loss", 0) == pytest.approx(one.get("eval.loss", 0), rel=1e-5)
    stored = yaml.safe_load(second.manifest.read_text())
    assert stored["layout"] == {"world_size": 2, "accumulation": 1, "micro_batch": 2}
    assert second.rank_log(1).exists()
    # A run of two ranks goes on with one: the same samples, and losses that differ by rounding alone.
    longer = ["--set", "training.steps=14", "--changed", "training.steps"]
    assert (
        subprocess.run(
            [sys.executable, str(ROOT / "trainer.py"), "--resume", str(second.path), *longer], check=False, cwd=folder
        ).returncode
        == 0
    )
    assert [row["samples"] for row in read_metrics(second.metrics).rows][-2:] == [13 * 4, 14 * 4]


def hosts(trainer: Path, folder: Path, attempt: int, *arguments: str) -> list[subprocess.CompletedProcess[str]]:
    """Train with two ranks that share no directory, as on two hosts: each has a run directory of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = []
    for rank in (0, 1):
        identity = {"RANK": rank, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 1, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1"}
        identity |= {"MASTER_PORT": port, "FLEET_RUN_DIR": folder / f"host{rank}" / "run", "FLEET_ATTEMPT": attempt}
        command = [sys.executable, str(trainer), *(text.replace("HOST", f"host{rank}") for text in arguments)]
        env = os.environ | {name: str(value) for name, value in identity.items()}
        pipe = subprocess.PIPE
        started.append(subprocess.Popen(command, env=env, cwd=folder, stdout=pipe, stderr=pipe, text=True))
    said = [process.communicate(timeout=120) for process in started]
    return [
        subprocess.CompletedProcess(process.args, process.returncode, *texts)
        for process, texts in zip(started, said, strict=True)
    ]


def test_hosts_that_share_no_disk_resume_from_the_checkpoint_of_rank_0(manifest, train, folder):
    alone = manifest({"runs.directory": str(folder / "one")}, "one.yaml")
    train(alone)
    script = ROOT / "trainer.py"
    for done in hosts(script, folder, 1, str(manifest({"training.steps": 6, "checkpoint.every": 6}))):
        assert done.returncode == 0, done.stderr
    assert not list((folder / "host1" / "run" / "checkpoints").glob("step-*"))
    longer = ["--set", "training.steps=12", "--changed", "training.steps"]
    for done in hosts(script, folder, 2, "--resume", str(folder / "HOST" / "run"), *longer):
        assert done.returncode == 0, done.stderr
    whole = read_metrics(RunDirectory(next((folder / "one").iterdir())).metrics).rows
    parts = read_metrics(folder / "host0" / "run" / "metrics.jsonl").rows
    assert [row["step"] for row in parts] == list(range(1, 13))
    # The schedule is constant, so two parts of 6 steps are the 12 steps of one process, up to rounding.
    assert len(whole) == 12
    for one, two in zip(whole, parts, strict=True):
        assert two["samples"] == one["samples"]
        assert two["loss"] == pytest.approx(one["loss"], rel=1e-5)
    assert (folder / "host1" / "run" / "log" / "rank-1.log").exists()


def test_ranks_that_are_refused_end_with_one_message_and_one_code(manifest, folder):
    (folder / "runs").mkdir()
    done = ranks(manifest(), 2, "--resume", "no-such-run", "--directory", str(folder / "runs"))
    assert done.returncode != 0
    assert done.stderr.count("RunError: there is no run 'no-such-run'") == 1
    assert "Connection" not in done.stderr
    assert re.findall(r"exitcode +: (-?\d+)", done.stderr).count("1") == 0


def test_a_rank_that_is_killed_ends_the_others_as_a_lost_peer(manifest, folder):
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command = [*launcher, str(ROOT / "trainer.py"), str(manifest(LONG))]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = wait_for_step(folder, 3, process)
    ranks_of = {child.environ().get("RANK"): child for child in psutil.Process(process.pid).children()}
    ranks_of["1"].kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    state = observed_state(run)
    assert state.state == "failed", err
    assert (state.written.exit.code, state.written.exit.retry) == (7, True)
    assert state.written.last_step >= 3


def test_several_runs_of_one_manifest_train_one_after_the_other(manifest, trainer, folder):
    process = trainer(str(manifest({"seeds": [1, 2], "training.steps": 2})))
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    names = sorted(path.name.rsplit("-", 3)[0] for path in (folder / "runs").iterdir())
    assert names == ["tiny-s1", "tiny-s2"]


def test_plain_output_has_lines_and_no_bar(manifest, trainer):
    process = trainer(str(manifest()))
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "step 10/12" in out
    assert "held-out bits per byte" in out
    assert "\x1b[" not in out


def test_a_reader_that_goes_away_does_not_end_the_run(manifest, trainer, folder):
    process = trainer(str(manifest({"training.steps": 200})))
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == ""
    run = RunDirectory(next((folder / "runs").iterdir()))
    assert observed_state(run).state == "completed"
    assert "standard output is lost" in run.train_log.read_text()
