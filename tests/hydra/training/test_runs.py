"""Whole runs: trained, resumed, refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from hydra.errors import CheckpointError, DataError, ManifestError, RunError, RunLocked
from hydra.runs import (
    RunLock,
    final_record,
    observed_state,
    read_events,
    read_metrics,
    read_progress,
    read_samples,
)


def losses(run):
    """Step and loss of every step, and what else must be exact."""
    return [(row["step"], row["loss"], row["grad_norm"], row["tokens"]) for row in read_metrics(run.metrics).current]


def test_a_run_leaves_everything_its_readers_need(manifest, train, only_run):
    assert train(manifest({"evaluation.every": 4})) == 0
    run = only_run()
    rows = read_metrics(run.metrics).rows
    assert [row["step"] for row in rows] == list(range(1, 13))
    assert rows[-1]["loss"] < rows[0]["loss"]
    assert all(row["tokens_per_s"] > 0 and row["step_ms"] > 0 and row["lr"] == 1e-2 for row in rows)
    assert [row["step"] for row in rows if "eval.bits_per_byte" in row] == [4, 8, 12]
    assert rows[-1]["samples"] == 12 * 4
    assert observed_state(run).state == "completed"
    assert final_record(read_events(run.events).events).kind == "run.completed"
    assert read_progress(run.progress).phase == "stop"
    assert read_samples(run.samples)[0]["step"] == 12
    stored = yaml.safe_load(run.manifest.read_text())
    assert stored["manifest"]["training"]["steps"] == 12
    assert "manifest.yaml:" in stored["origins"]["training.steps"]
    assert {path.name for path in run.checkpoints.iterdir() if path.is_dir()} == {"step-5", "step-10", "step-12"}
    assert json.loads(run.environment.read_text())["versions"]["torch"]
    assert json.loads(run.capabilities.read_text())


def test_metrics_add_up(manifest, train, only_run):
    train(manifest({"training.steps": 3}))
    rows = read_metrics(only_run().metrics).rows
    for row in rows:
        assert row["tokens_per_s"] == pytest.approx(4 * 32 / row["step_ms"] * 1e3, rel=1e-6)
    # 90-token documents with an end at either side: every row loses exactly the targets that begin a document.
    assert 0 < rows[0]["tokens"] <= 4 * 32


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not(manifest, train, folder):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        train(manifest({"runs.directory": str(folder / name), "seeds": [seed], "training.steps": 4}))
    from hydra.runs import RunDirectory

    first, second, third = (losses(RunDirectory(next((folder / name).iterdir()))) for name in "abc")
    assert first == second
    assert first != third


def test_evaluation_changes_no_bit_of_training(manifest, train, folder):
    from hydra.runs import RunDirectory

    for name, every in (("without", 0), ("with", 2)):
        changes = {"runs.directory": str(folder / name), "evaluation.every": every}
        changes["evaluation.samples"] = {"every": every, "tokens": 4}
        train(manifest(changes))
    first, second = (losses(RunDirectory(next((folder / name).iterdir()))) for name in ("without", "with"))
    assert first == second


def test_accumulation_changes_nothing_but_rounding(manifest, train, folder):
    from hydra.runs import RunDirectory

    for name, micro in (("one", 4), ("two", 2), ("four", 1)):
        train(manifest({"runs.directory": str(folder / name), "training.micro_batch": micro}))
    runs = [losses(RunDirectory(next((folder / name).iterdir()))) for name in ("one", "two", "four")]
    for other in runs[1:]:
        for (_, loss, norm, tokens), (_, other_loss, other_norm, other_tokens) in zip(runs[0], other, strict=True):
            assert tokens == other_tokens
            assert other_loss == pytest.approx(loss, rel=1e-5)
            assert other_norm == pytest.approx(norm, rel=1e-4)


@pytest.mark.parametrize("level", ["selective", "full"])
def test_recomputing_activations_changes_no_loss(manifest, train, folder, level):
    from hydra.runs import RunDirectory

    for name in ("none", level):
        changes = {"runs.directory": str(folder / name), "training.activation_checkpointing": name, "training.steps": 4}
        train(manifest(changes))
    first, second = (losses(RunDirectory(next((folder / name).iterdir()))) for name in ("none", level))
    assert [loss for _, loss, _, _ in first] == pytest.approx([loss for _, loss, _, _ in second], rel=1e-6)
    assert (folder / level).exists()


def test_stop_and_resume_equal_the_unbroken_run_in_every_bit(manifest, train, folder, only_run, stop_after):
    from hydra.runs import RunDirectory

    whole = manifest({"runs.directory": str(folder / "whole")}, "whole.yaml")
    train(whole)
    # Asked to stop in its first step, it ends that step, saves and ends; then again; then it runs through.
    assert train(manifest(), requests=stop_after(1)) == 0
    run = only_run()
    assert observed_state(run).state == "stopped"
    final = final_record(read_events(run.events).events)
    assert final.kind == "run.stopped"
    assert final.data["saved_step"] == 1
    assert train(resume="latest", requests=stop_after(3)) == 0
    assert train(resume="latest") == 0
    assert observed_state(run).state == "completed"
    assert losses(run) == losses(RunDirectory(next((folder / "whole").iterdir())))
    assert read_metrics(run.metrics).rows[-1]["attempt"] == 3


def test_a_checkpoint_of_the_past_can_be_continued(manifest, train, only_run):
    train(manifest())
    before = losses(only_run())
    assert train(resume="latest@5") == 0
    assert losses(only_run()) == before


def test_resuming_a_finished_run_says_so_and_changes_nothing(manifest, train, only_run, capsys):
    train(manifest())
    run = only_run()
    before, samples = losses(run), run.samples.read_bytes()
    capsys.readouterr()
    assert train(resume="latest") == 0
    assert losses(run) == before
    assert run.samples.read_bytes() == samples
    assert "completed at step 12; checkpoint step-12 in" in capsys.readouterr().out
    assert final_record(read_events(run.events).events).data["saved_step"] == 12
    progress, state = read_progress(run.progress), observed_state(run).written
    assert (progress.step, progress.tokens, progress.last_saved_step) == (12, before[-1][3], 12)
    assert (state.state, state.last_step, state.last_verified_checkpoint.step) == ("completed", 12, 12)


def test_a_request_to_stop_at_the_last_step_still_completes_the_run(manifest, train, only_run, stop_after):
    train(manifest({"training.steps": 1}), requests=stop_after(1))
    run = only_run()
    assert observed_state(run).state == "completed"
    assert "eval.bits_per_byte" in read_metrics(run.metrics).rows[-1]


def test_a_longer_run_is_an_explicit_change(manifest, train, only_run):
    train(manifest())
    with pytest.raises(RunError, match=r"training\.steps: 12 -> 15"):
        train(resume="latest", overrides=("training.steps=15",))
    with pytest.raises(RunError, match="does not differ"):
        train(resume="latest", overrides=("training.steps=15",), changed=("training.steps", "training.clip"))
    assert train(resume="latest", overrides=("training.steps=15",), changed=("training.steps",)) == 0
    assert [row["step"] for row in read_metrics(only_run().metrics).current] == list(range(1, 16))


def test_resume_with_another_manifest_is_refused(manifest, train):
    train(manifest())
    other = manifest({"optimizer.lr": 2.0e-2}, "other.yaml")
    with pytest.raises(RunError, match=r"optimizer\.0\.lr: 0\.01 -> 0\.02"):
        train(other, resume="latest")


def test_two_trainers_cannot_share_a_run(manifest, train, only_run):
    train(manifest({"training.steps": 1}))
    with RunLock.acquire(only_run().lock, attempt=1), pytest.raises(RunLocked):
        train(resume="latest")


def shard(run, step):
    return next((run.checkpoints / f"step-{step}").glob("*.safetensors"))


def test_a_torn_newest_checkpoint_is_reported_skipped_and_kept(manifest, train, only_run):
    train(manifest())
    run = only_run()
    expected = losses(run)
    path = shard(run, 12)
    path.write_bytes(path.read_bytes()[:-7])
    assert train(resume="latest") == 0
    assert losses(run) == expected
    rejected = [event for event in read_events(run.events).events if event.kind == "checkpoint.rejected"]
    assert [event.data["step"] for event in rejected] == [12]


def test_when_every_checkpoint_is_damaged_nothing_is_trained(manifest, train, only_run):
    train(manifest())
    run = only_run()
    for path in run.checkpoints.glob("step-*/*.safetensors"):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    for _ in range(2):
        # Twice: what the first refusal had opened is closed, and nobody waits for its writer.
        with pytest.raises(CheckpointError, match="no checkpoint"):
            train(resume="latest")
    assert observed_state(run).state == "failed"


def test_other_data_under_a_resumed_run_is_refused(manifest, train, folder):
    for number in range(20):
        (folder / f"{number}.txt").write_text(f"document {number} " * 40)
    corpus = {"kind": "text", "files": [str(folder / "*.txt")]}
    train(manifest({"data.corpus": corpus, "data.held_out": 0.5, "training.steps": 2}))
    (folder / "7.txt").write_text("something else " * 40)
    with pytest.raises(DataError, match="changed"):
        train(resume="latest")


def test_impossible_manifests_fail_before_a_run_exists(manifest, train, folder):
    with pytest.raises(ManifestError):
        train(manifest(), overrides=("training.stepz=3",))
    assert not (folder / "runs").exists()


def test_a_batch_that_does_not_share_out(manifest, train):
    with pytest.raises(ManifestError, match="micro_batch"):
        train(manifest({"training.batch": 5}))


def test_errors_while_preparing_are_recorded(manifest, train, only_run, folder):
    missing = {"kind": "text", "files": [str(folder / "missing.txt")]}
    with pytest.raises(DataError, match=r"missing\.txt"):
        train(manifest({"data.corpus": missing}))
    run = only_run()
    assert observed_state(run).state == "failed"
    final = final_record(read_events(run.events).events)
    assert (final.kind, final.data["code"], final.data["exception"]) == ("run.failed", 3, "DataError")
    assert json.loads(run.crash_report(0).read_text())["traceback"]


def test_sequence_longer_than_the_corpus(manifest, train):
    with pytest.raises(DataError):
        train(manifest({"data.sequence": 30_000}))


def test_runs_of_a_mix_report_their_sources(manifest, train, only_run):
    sources = [
        {"name": "one", "weight": 3.0, "corpus": {"kind": "synthetic", "tokens": 9_000, "document": 50}},
        {"name": "two", "weight": 1.0, "corpus": {"kind": "synthetic", "tokens": 9_000, "document": 70, "seed": 5}},
    ]
    path = manifest()
    tree = yaml.safe_load(path.read_text())
    del tree["data"]["corpus"]
    tree["data"]["sources"] = sources
    Path(path).write_text(yaml.safe_dump(tree))
    assert train(path) == 0
    rows = read_metrics(only_run().metrics).rows
    assert {"one"} <= set().union(*(row["loss_sources"] for row in rows)) <= {"one", "two"}


def test_asked_to_stop_while_preparing_it_trains_nothing(manifest, train, only_run, stop_after):
    early = stop_after(1)
    early.stop = "SIGTERM"
    assert train(manifest(), requests=early) == 0
    run = only_run()
    assert observed_state(run).state == "stopped"
    assert read_metrics(run.metrics).rows == ()
    assert final_record(read_events(run.events).events).data["saved_step"] is None
    assert train(resume="latest") == 0
    assert read_metrics(run.metrics).rows[-1]["step"] == 12


def test_the_batch_cannot_change_in_the_middle_of_a_run(manifest, train):
    train(manifest())
    with pytest.raises(RunError, match="from 4 to 8"):
        train(resume="latest", overrides=("training.batch=8",), changed=("training.batch",))
    overrides = ("training.micro_batch=1", "training.steps=14")
    assert train(resume="latest", overrides=overrides, changed=("training.micro_batch", "training.steps")) == 0


def test_a_supervisors_directory_is_not_trained_over(manifest, train, only_run, monkeypatch):
    train(manifest({"training.steps": 1}))
    monkeypatch.setenv("FLEET_RUN_DIR", str(only_run().path))
    with pytest.raises(RunError, match="holds a run already"):
        train(manifest())


def test_the_closing_lines_name_a_run_that_can_be_found(manifest, train, only_run, capsys):
    train(manifest({"training.steps": 1}))
    assert f"hydra report {only_run().path}" in capsys.readouterr().out
