"""The parts of training on their own: decisions, requests, timing, changes, layout, console, sinks."""

from __future__ import annotations

import io
import json
import signal
import sys
import time
from pathlib import Path

import pytest
import torch

from hydra.errors import RunError, UsageError
from hydra.manifest import from_tree, load
from hydra.model import IGNORED, targets_of
from hydra.platform import capabilities
from hydra.runs import RunDirectory
from hydra.training import signals
from hydra.training.identity import Identity, identity
from hydra.training.parallel import accumulation, check_ranks
from hydra.training.readback import Readback
from hydra.training.resolve import Resolved, resolve
from hydra.training.session import check_changes, select
from hydra.training.sinks import SinkThread, scalars, sinks
from hydra.training.throughput import Throughput


@pytest.fixture
def read(manifest):
    """The tiny manifest with changes, as an object."""
    return lambda changes=None: load(manifest(changes)).runs[0].manifest


HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP)
ALONE = Identity(rank=0, size=1, local_rank=0, local_size=1, run_directory=None, attempt=None)


def test_on_a_cpu_everything_automatic_is_exact_fp32_and_not_compiled(read):
    settled = resolve(read({"training.threads": "auto"}), ALONE)
    assert (settled.device, settled.determinism, settled.compute, settled.compile) == ("cpu", "exact", "fp32", "none")
    assert settled.threads == capabilities("cpu").cores
    assert Resolved.of(json.loads(json.dumps(settled.record()))) == settled


def test_ranks_of_one_host_share_its_threads(read):
    pair = Identity(rank=1, size=2, local_rank=1, local_size=2, run_directory=None, attempt=None)
    automatic = resolve(read({"training.threads": "auto"}), pair)
    assert automatic.threads == max(1, capabilities("cpu").cores // 2)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_cuda_without_a_gpu_is_refused(read):
    with pytest.raises(UsageError, match="sees 0"):
        resolve(read({"training.device": "cuda"}), ALONE)


def test_identity_comes_from_the_launcher(monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "FLEET_RUN_DIR", "FLEET_ATTEMPT"):
        monkeypatch.delenv(name, raising=False)
    assert identity() == ALONE
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("FLEET_RUN_DIR", "/runs/x")
    monkeypatch.setenv("FLEET_ATTEMPT", "2")
    found = identity()
    assert (found.rank, found.size, found.run_directory, found.attempt) == (3, 8, Path("/runs/x"), 2)
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(UsageError, match="RANK"):
        identity()


def test_signals_raise_flags_and_a_second_interrupt_aborts():
    before = {number: signal.getsignal(number) for number in HEARD}
    try:
        requests = signals.install()
        signal.raise_signal(signal.SIGUSR1)
        assert requests.take_save()
        assert not requests.take_save()
        assert requests.stop is None
        signal.raise_signal(signal.SIGINT)
        assert requests.stop == "SIGINT"
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        again = signals.install()
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert again.stop == "SIGTERM"
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(("terminal", "stop"), [(True, "SIGHUP"), (False, None)])
def test_a_closing_terminal_asks_to_stop_and_a_missing_one_does_not(monkeypatch, terminal, stop):
    class Input(io.StringIO):
        def isatty(self):
            return terminal

    before = {number: signal.getsignal(number) for number in HEARD}
    monkeypatch.setattr(sys, "stdin", Input())
    try:
        requests = signals.install()
        signal.raise_signal(signal.SIGHUP)
        assert requests.stop == stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_targets_stop_at_documents_and_padding():
    tokens = torch.tensor([[5, 6, 7, 8, 9, 1]], dtype=torch.int32)
    documents = torch.tensor([[0, 0, 1, 1, -1, -1]], dtype=torch.int32)
    assert targets_of(tokens, documents).tolist() == [[6, IGNORED, 8, IGNORED, IGNORED]]


def test_a_manifest_may_change_exactly_where_it_is_said(read):
    before, after = read(), read({"training.steps": 20, "optimizer.lr": 0.5, "name": "renamed"})
    check_changes("run", before, before, ())
    check_changes("run", before, after, ("training.steps", "optimizer"))
    with pytest.raises(RunError, match=r"optimizer\.0\.lr"):
        check_changes("run", before, after, ("training.steps",))
    with pytest.raises(RunError, match="model"):
        check_changes("run", before, after, ("training.steps", "optimizer", "model"))


def test_one_of_several_runs_must_be_named(read, manifest):
    experiment = load(manifest({"seeds": [1, 2]}))
    with pytest.raises(UsageError, match="2 runs"):
        select(experiment, None)
    with pytest.raises(UsageError, match="tiny-s1, tiny-s2"):
        select(experiment, "tiny-s3")
    assert select(experiment, "tiny-s2").manifest.seed == 2


@pytest.mark.parametrize(("batch", "micro", "ranks", "steps"), [(8, 2, 1, 4), (8, 2, 2, 2), (8, 4, 2, 1)])
def test_accumulation(read, batch, micro, ranks, steps):
    manifest = read({"training.batch": batch, "training.micro_batch": micro})
    assert accumulation(manifest, ranks) == steps


def test_a_micro_batch_that_nobody_wrote_is_shared_out(read):
    manifest = read({"training.batch": 8, "training.micro_batch": 8})
    assert accumulation(manifest, 4, inferred=True) == 1
    with pytest.raises(UsageError, match="4 ranks"):
        accumulation(manifest, 4)


def test_a_batch_that_the_ranks_cannot_share(read):
    with pytest.raises(UsageError, match="3 ranks"):
        accumulation(read({"training.batch": 8, "training.micro_batch": 2}), 3)
    with pytest.raises(UsageError, match=r"parallel\.data is 4"):
        check_ranks(read({"parallel.data": 4}), 2)


def test_readback_times_steps_from_the_mark():
    readback: Readback[int] = Readback(torch.device("cpu"))
    time.sleep(0.02)
    readback.mark()
    readback.push(torch.tensor([1.0, 2.0]), 7)
    (result,) = readback.take(in_flight=1)
    assert (result.values, result.context) == ([1.0, 2.0], 7)
    assert 0 <= result.milliseconds < 20
    assert readback.take(in_flight=0) == []


def test_rates_follow_their_definitions(read):
    from hydra.model import accounting

    manifest = read()
    flops = accounting.flops_per_token(manifest.model, 384, 32)
    rates = Throughput(flops, peak=1e12, devices=2).rates(tokens=1000, milliseconds=500)
    assert rates["tokens_per_s"] == pytest.approx(2000)
    assert rates["tokens_per_s_gpu"] == pytest.approx(1000)
    assert rates["mfu_full"] == pytest.approx(2000 * flops.full / 2e12)
    assert rates["mfu_causal"] == pytest.approx(2000 * flops.causal / 2e12)
    assert "mfu_full" not in Throughput(flops, peak=None, devices=1).rates(1, 1)


class Slow:
    """A sink that blocks until it is let go."""

    name = "slow"
    failures: tuple[type[Exception], ...] = (OSError,)

    def __init__(self, error=None):
        self.rows, self.error, self.closed = [], error, False

    def open(self):
        if self.error:
            raise self.error

    def log(self, step, numbers):
        self.rows.append((step, dict(numbers)))

    def close(self):
        self.closed = True


def test_a_sink_gets_every_row_and_is_closed():
    sink, failures = Slow(), []
    thread = SinkThread(sink, lambda name, reason: failures.append(reason))
    for step in range(50):
        thread.put(step, {"loss": 1.0 / (step + 1)})
    thread.close()
    assert [step for step, _ in sink.rows] == list(range(50))
    assert sink.closed
    assert not failures


def test_a_sink_that_fails_is_one_event_and_not_the_end():
    failures = []
    thread = SinkThread(Slow(OSError("no network")), lambda name, reason: failures.append((name, reason)))
    for step in range(5000):
        thread.put(step, {})
    thread.close()
    assert failures == [("slow", "OSError: no network")]


def wandb_history(file):
    """Rows of an offline W&B file: LevelDB's log format, 32 KiB blocks of records (crc, length, kind) after 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, parts = file.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at + 7 <= len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        length, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        parts += data[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            record = Record.FromString(parts)
            parts = b""
            items = record.history.item
            if items:
                yield {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_weights_and_biases_offline_for_real(manifest, train, only_run):
    changes = {"tracking.wandb": {"project": "hydra-test", "mode": "offline", "tags": ["a"]}, "evaluation.every": 4}
    assert train(manifest(changes)) == 0
    run = only_run()
    (file,) = run.path.glob("wandb/offline-run-*/run-*.wandb")
    assert run.id in file.name
    losses = [row["loss"] for row in wandb_history(file) if "loss" in row]
    from hydra.runs import read_metrics

    assert losses == [row["loss"] for row in read_metrics(run.metrics).rows]


def test_tensorboard_files_hold_the_losses(manifest, train, only_run):
    assert train(manifest({"tracking.tensorboard": True})) == 0
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(only_run().path / "tensorboard"))
    events.Reload()
    assert [item.step for item in events.Scalars("loss")] == list(range(1, 13))
    assert [item.step for item in events.Scalars("eval.loss")] == [0, 12]


def test_no_sink_unless_it_is_asked_for(read, tmp_path):
    assert sinks(RunDirectory(tmp_path), read(), {}) == []


def test_only_numbers_go_to_sinks():
    assert scalars({"step": 1, "loss": 2, "verdict": "ok", "skipped": True, "loss_sources": {"a": 1.0}}) == {
        "loss": 2.0
    }


def test_a_stored_manifest_reads_back_as_it_was(manifest, train, only_run):
    import yaml

    train(manifest({"training.steps": 1}))
    stored = yaml.safe_load(only_run().manifest.read_text())
    assert from_tree(stored["manifest"]).runs[0].manifest == load(manifest({"training.steps": 1})).runs[0].manifest
