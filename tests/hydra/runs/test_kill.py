"""A trainer-like process is killed at random instants, again and again, over one run directory."""

from __future__ import annotations

import random
import time

import pytest

from hydra.runs import (
    JsonReader,
    RunDirectory,
    last_attempt,
    observed_state,
    read_events,
    read_metrics,
    read_progress,
    read_samples,
    read_state,
    remove_leftovers,
    resume_steps,
)

# Acknowledges each step on stdout once its lines are written. Rows are large, so that a kill can fall inside a write.
TRAINER = """
import sys
from pathlib import Path
from hydra.runs import *
run = RunDirectory.open(Path(sys.argv[1]))
attempt, step = last_attempt(run) + 1, int(sys.argv[2])
with RunLock.acquire(run.lock, attempt=attempt):
    write_manifest(run, f"attempt: {attempt}\\n", attempt=attempt)
    state = StateFile(run.state, run.id, attempt)
    metrics, events = MetricsWriter(run.metrics, attempt), EventWriter(run.events, attempt)
    samples = SampleWriter(run.samples, attempt)
    events.append("run.resumed", data={"step": step})
    heart = Heartbeat(run.progress, attempt=attempt, total_steps=10**6, step=step, interval=0.002).start()
    state.enter("running")
    heart.enter("train")
    while True:
        step += 1
        sources = {str(n): 1.0 for n in range(step % 7 * 3000)}
        metrics.append({"step": step, "loss": float("nan"), "loss_sources": sources})
        samples.append({"step": step, "set": "s", "prompt_id": "p", "index": 0, "seed": 0, "settings": {},
                        "text": "x" * (step % 5 * 100_000), "tokens": 1, "ended": "length"})
        heart.step_done(step, tokens=step, step_ms=1.0)
        if step % 10 == 0:
            events.append("eval.summary", step=step)
            state.note(last_step=step)
        print(step, flush=True)
"""


@pytest.mark.parametrize("seed", [1])
def test_whatever_was_acknowledged_is_there_and_everything_parses(
    run: RunDirectory, spawn, spoken, kill, seed: int
) -> None:
    chance = random.Random(seed)
    step, attempts = 0, 8
    for attempt in range(1, attempts + 1):
        process = spawn(TRAINER, run.path, step)
        spoken(process)
        assert observed_state(run).state == "running"
        time.sleep(chance.uniform(0.0, 0.3))
        acknowledged = _last(kill(process), step + 1)
        assert observed_state(run).state == "lost"
        state, progress = read_state(run.state), read_progress(run.progress)
        assert state is not None
        assert progress is not None
        assert state.attempt == progress.attempt == last_attempt(run) == attempt
        events = read_events(run.events).events
        metrics = read_metrics(run.metrics, resumed=resume_steps(events))
        assert metrics.current[-1]["attempt"] == attempt
        assert acknowledged <= metrics.current[-1]["step"] <= acknowledged + 1
        assert [row["step"] for row in metrics.current] == list(range(1, len(metrics.current) + 1))
        assert read_samples(run.samples)[-1]["step"] >= metrics.rows[-1]["step"] - 1
        step = max(0, acknowledged - chance.randrange(5))
    numbers = [event.seq for event in read_events(run.events).events]
    assert numbers == sorted(set(numbers))
    for path in (run.metrics, run.samples, run.events):
        reader = JsonReader(path)
        reader.drain()
        assert reader.skipped <= attempts, "at most one fragment a kill"
    assert [run.earlier_manifest(n).read_text() for n in range(1, attempts)] == [
        f"attempt: {n}\n" for n in range(1, attempts)
    ]
    assert remove_leftovers(run.path) == []


def _last(output: str, least: int) -> int:
    """The last step in what a killed process printed; its last line may be torn."""
    whole = output[: output.rfind("\n") + 1].split()
    return int(whole[-1]) if whole else least
