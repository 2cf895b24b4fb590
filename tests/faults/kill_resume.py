"""Kill a training run at random moments, resume it, and compare with one that was never interrupted, bit by bit.

As a script: `python tests/faults/kill_resume.py --trials 20`. Each trial starts a fresh run, sends `kill -9` to its
whole process group at a moment drawn from the recorded seed, resumes it, up to three times, and then compares
every loss of the run and every tensor of its last checkpoint with the reference.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from safetensors import safe_open

from hydra.runs import read_metrics

ROOT = Path(__file__).resolve().parents[2]

STEPS = 120
#: Share of kills that hit a process while it starts, and how long that takes; the others follow a random step.
_WHILE_STARTING, _START_SECONDS = 0.25, 4.0
#: Longer than a step, a save or an evaluation of the trials takes.
_AFTER_STEP_SECONDS = 0.1

#: Small, but with everything on: accumulation, evaluation, samples, several checkpoints and their retention.
MANIFEST: dict[str, Any] = {
    "schema": 1,
    "name": "kill",
    "data": {
        "corpus": {"kind": "synthetic", "tokens": 40_000, "document": 90},
        "sequence": 64,
        "held_out": 0.1,
    },
    "tokenizer": {"kind": "bytes"},
    "model": {
        "width": 64,
        "blocks": [
            {"repeat": {"count": 2, "of": [{"mixer": {"kind": "softmax", "heads": 4}, "mlp": {"kind": "swiglu"}}]}}
        ],
    },
    "optimizer": {"kind": "adamw", "lr": 3.0e-3},
    "schedule": {"kind": "wsd", "warmup_steps": 5},
    "training": {"steps": STEPS, "batch": 8, "micro_batch": 4},
    "evaluation": {"every": 40, "rows": 8, "samples": {"tokens": 8}},
    "checkpoint": {"every": 9},
}


@dataclass
class Trial:
    """One interrupted run and how it compares."""

    seed: int
    kills: list[str] = field(default_factory=list)
    """When the process group was killed, after each start."""
    differences: list[str] = field(default_factory=list)
    """What was not equal; empty means equal in every bit."""


def write_manifest(work: Path) -> Path:
    """The manifest of the trials, with its folders in `work`."""
    tree = {**MANIFEST, "runs": {"directory": str(work / "runs")}, "kernels": {"ledger": str(work / "kernels.json")}}
    tree["data"] = {
        **MANIFEST["data"],
        "tokenizer_artifacts": str(work / "tokenizers"),
        "token_artifacts": str(work / "tokens"),
    }
    path = work / "manifest.yaml"
    path.write_text(json.dumps(tree, indent=1))
    return path


def reference(work: Path) -> Path:
    """The directory of the uninterrupted run."""
    work.mkdir(parents=True, exist_ok=True)
    manifest = write_manifest(work)
    code = start(work, str(manifest)).wait()
    assert code == 0, f"the uninterrupted run exited with {code}"
    return only_run(work)


def start(work: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The trainer as the leader of a process group of its own."""
    command = [sys.executable, str(ROOT / "trainer.py"), *arguments]
    return subprocess.Popen(command, cwd=work, stdout=subprocess.DEVNULL, start_new_session=True)


def only_run(work: Path) -> Path:
    """The one run directory of a trial."""
    found = [path for path in (work / "runs").iterdir() if path.is_dir()]
    assert len(found) == 1, found
    return found[0]


def trial(work: Path, expected: Path, seed: int) -> Trial:
    """Interrupt a fresh run one to three times, let it finish, and compare it with the reference."""
    draw = random.Random(seed)
    result = Trial(seed)
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    manifest = write_manifest(work)
    kills = draw.randint(1, 3)
    while True:
        if any((work / "runs").glob("*/manifest.yaml")):
            arguments = ["--resume", "latest", "--directory", str(work / "runs")]
        else:
            # Killed before the run had written what it is: nothing to resume, it never began.
            shutil.rmtree(work / "runs", ignore_errors=True)
            arguments = [str(manifest)]
        process = start(work, *arguments)
        if len(result.kills) == kills:
            code = process.wait()
            if code != 0:
                result.differences.append(f"the last resume exited with {code}")
            break
        moment = wait_for_moment(draw, work, process)
        if moment is None:
            break  # it came to its end first: what was interrupted before is compared
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        result.kills.append(moment)
    if not result.kills:
        result.differences.append("it was never interrupted")
    result.differences += compare(expected, only_run(work))
    return result


def wait_for_moment(draw: random.Random, work: Path, process: subprocess.Popen[bytes]) -> str | None:
    """Wait for a random moment of a process: at any time while it starts, or some milliseconds after a random step.

    Returns the moment in words, None if the process ended first.
    """
    if draw.random() < _WHILE_STARTING:
        seconds = draw.uniform(0.0, _START_SECONDS)
        return f"{seconds:.2f} s" if _outlives(process, seconds) else None
    done = newest_step(work)
    step = draw.randint(min(done + 1, STEPS), STEPS)
    while newest_step(work) < step:
        if process.poll() is not None:
            return None
        time.sleep(0.005)
    seconds = draw.uniform(0.0, _AFTER_STEP_SECONDS)
    return f"step {step} + {seconds * 1e3:.0f} ms" if _outlives(process, seconds) else None


def newest_step(work: Path) -> int:
    """The highest step that the run's metrics hold, over all its attempts."""
    rows = [row for path in (work / "runs").glob("*/metrics.jsonl") for row in read_metrics(path).rows[-1:]]
    return max((row["step"] for row in rows), default=0)


def _outlives(process: subprocess.Popen[bytes], seconds: float) -> bool:
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        return True
    return False


def compare(expected: Path, actual: Path) -> list[str]:
    """What differs between two finished runs: losses and norms by step, then tensors of the last checkpoint."""
    found = []
    first, second = read_metrics(expected / "metrics.jsonl").current, read_metrics(actual / "metrics.jsonl").current
    if len(first) != len(second):
        found.append(f"{len(second)} steps instead of {len(first)}")
    for left, right in zip(first, second, strict=False):
        for name in ("step", "loss", "grad_norm", "lr", "tokens", "samples", "eval.bits_per_byte"):
            if left.get(name) != right.get(name):
                found.append(f"step {left['step']}: {name} {right.get(name)!r} instead of {left.get(name)!r}")
    left_tensors, right_tensors = tensors(expected), tensors(actual)
    if left_tensors.keys() != right_tensors.keys():
        found.append(f"tensors {sorted(left_tensors.keys() ^ right_tensors.keys())} are in one checkpoint only")
    for name in left_tensors.keys() & right_tensors.keys():
        if left_tensors[name] != right_tensors[name]:
            found.append(f"tensor {name} differs")
    return found


def tensors(run: Path) -> dict[str, bytes]:
    """Name -> bytes of every tensor in the newest checkpoint."""
    step = max(int(path.name.removeprefix("step-")) for path in (run / "checkpoints").glob("step-*"))
    found: dict[str, bytes] = {}
    for shard in sorted((run / "checkpoints" / f"step-{step}").glob("*.safetensors")):
        with safe_open(str(shard), framework="np") as file:
            for name in file.keys():  # noqa: SIM118 - it is no mapping
                found[name] = file.get_tensor(name).tobytes()
    return found


def main(
    trials: Annotated[int, typer.Option(help="Runs to interrupt.")] = 20,
    seed: Annotated[int, typer.Option(help="Seed of the first trial; the next ones count up.")] = 1,
    work: Annotated[Path, typer.Option(help="Folder for the runs; removed and made anew.")] = Path("runs/.kill-resume"),
) -> None:
    """Interrupt and compare; exits 1 if any trial differs from the uninterrupted run."""
    shutil.rmtree(work, ignore_errors=True)
    expected = reference(work.resolve() / "reference")
    failures = 0
    for number in range(seed, seed + trials):
        result = trial(work.resolve() / f"trial-{number}", expected, number)
        failures += bool(result.differences)
        verdict = "equal in every bit" if not result.differences else "; ".join(result.differences[:5])
        typer.echo(f"trial {number}: killed at {', '.join(result.kills)}: {verdict}")
    typer.echo(f"{trials - failures} of {trials} equal")
    raise typer.Exit(1 if failures else 0)


if __name__ == "__main__":
    typer.run(main)
