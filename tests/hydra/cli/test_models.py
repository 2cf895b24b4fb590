"""`hydra generate`, `hydra eval`, `hydra checkpoint`, `hydra data`: a trained model and what it was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hydra.cli.open_run import open_model
from hydra.data import prepare
from hydra.inference import score, torch_rows
from hydra.manifest import load
from hydra.runs import RunDirectory, read_yaml, write_yaml


@pytest.fixture
def runs(trained: Any) -> tuple[str, Path]:
    return ("--directory", trained.root / "runs")


def flip(path: Path) -> None:
    """Change one byte in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_the_opened_model_is_the_trained_one(trained: Any) -> None:
    opened = open_model(trained.run)
    assert opened.step == 4
    assert opened.tokenizer.digest == trained.dataset.tokenizer.digest
    assert not opened.model.training
    weights = dict(opened.model.named_parameters())
    for name, parameter in trained.model.named_parameters():
        assert torch.equal(weights[name], parameter), name
    assert open_model(trained.run, step=2).step == 2


def test_generation_streams_the_prompt_and_the_text(trained: Any, runs: Any, invoke: Any) -> None:
    arguments = ("generate", "latest", *runs, "--tokens", 8, "--seed", 3, "--prompt", "def f", "--prompt", "x = ")
    result = invoke(*arguments)
    assert result.code == 0
    assert result.out.startswith("def f")
    assert "\n\nx = " in result.out
    assert result.err.count(f"[{trained.run.id}, step 4, prompt ") == 2
    assert invoke(*arguments).out == result.out
    again = invoke(*arguments, "--json").json
    assert (again["run"], again["step"]) == (trained.run.id, 4)
    first, second = again["generations"]
    assert result.out == f"def f{first['text']}\n\nx = {second['text']}\n"
    assert 1 <= first["tokens"] <= 8
    assert first["settings"]["temperature"] == 0.8


def test_generation_without_a_cache_gives_the_same_text(runs: Any, invoke: Any) -> None:
    arguments = ("generate", "latest", *runs, "--tokens", 12, "--prompt", "def ", "--temperature", 0)
    assert invoke(*arguments).out == invoke(*arguments, "--no-cache").out


def test_generation_without_a_prompt_writes_a_document(runs: Any, invoke: Any) -> None:
    (only,) = invoke("generate", "latest", *runs, "--tokens", 4, "--json").json["generations"]
    assert only["prompt"] == ""


def test_prompts_from_files(runs: Any, tmp_path: Path, invoke: Any) -> None:
    (tmp_path / "prompt.txt").write_text("return ", encoding="utf-8")
    arguments = ("generate", "latest", *runs, "--tokens", 2, "--file", tmp_path / "prompt.txt")
    assert invoke(*arguments).out.startswith("return ")
    missing = invoke("generate", "latest", *runs, "--file", tmp_path / "none.txt")
    assert missing.code == 2
    assert "cannot read the prompt" in missing.err


def test_stops_end_a_continuation(runs: Any, invoke: Any) -> None:
    arguments = ("generate", "latest", *runs, "--tokens", 16, "--prompt", "a", "--json")
    (free,) = invoke(*arguments).json["generations"]
    letter = next(c for c in free["text"] if c != "�")
    (stopped,) = invoke(*arguments, "--stop", letter).json["generations"]
    assert stopped["ended"] == "stop"
    assert letter not in stopped["text"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--prompt", "x" * 100), "the context 32 tokens"),
        (("--temperature", -1), "temperature is -1.0"),
        (("--top-p", 0), "top_p is 0.0"),
        (("--top-k", -1), "top_k is -1"),
        (("--tokens", 0), "--tokens"),
        (("--step", 3), "there is no checkpoint of step 3"),
    ],
)
def test_generation_refuses_what_cannot_be(options: tuple[Any, ...], told: str, runs: Any, invoke: Any) -> None:
    result = invoke("generate", "latest", *runs, *options)
    assert result.code in (2, 10)
    assert told in result.err
    assert "Traceback" not in result.err


def test_eval_equals_the_score_of_the_trained_model(trained: Any, runs: Any, invoke: Any) -> None:
    found = invoke("eval", "latest", *runs, "--json").json
    rows = torch_rows(trained.dataset.held_out(trained.manifest.evaluation.rows), trained.manifest.evaluation.batch)
    expected = score(trained.model, rows, trained.dataset.tokenizer.token_bytes)
    assert found["bits_per_byte"] == pytest.approx(expected.bits_per_byte, rel=1e-6)
    assert found["rows"] == expected.rows == 3
    text = invoke("eval", "latest", *runs, "--step", 2).out
    assert text.startswith(f"{trained.run.id} at step 2: ")
    assert "bits per byte" in text


def test_eval_of_fewer_rows(runs: Any, invoke: Any) -> None:
    assert invoke("eval", "latest", *runs, "--rows", 1, "--json").json["rows"] == 1


def test_eval_refuses_other_data_than_the_run_had(copy_of: RunDirectory, invoke: Any) -> None:
    record = read_yaml(copy_of.manifest)
    record["data"]["fingerprint"] = "0" * 64
    write_yaml(copy_of.manifest, record)
    result = invoke("eval", copy_of.path)
    assert result.code == 3
    assert "held out here may be text that the model was trained on" in result.err


def test_another_tokenizer_is_refused(copy_of: RunDirectory, invoke: Any) -> None:
    record = read_yaml(copy_of.manifest)
    record["tokenizer"]["digest"] = "0" * 64
    write_yaml(copy_of.manifest, record)
    result = invoke("generate", copy_of.path)
    assert result.code == 3
    assert "not the one it was trained with" in result.err


def test_another_model_is_refused(copy_of: RunDirectory, invoke: Any) -> None:
    record = read_yaml(copy_of.manifest)
    record["manifest"]["model"]["blocks"][0]["mlp"]["hidden"] = 64
    write_yaml(copy_of.manifest, record)
    result = invoke("generate", copy_of.path)
    assert result.code == 10
    assert "holds other weights than the model" in result.err


def test_a_damaged_checkpoint_is_passed_over_and_named(copy_of: RunDirectory, invoke: Any) -> None:
    flip(copy_of.checkpoint(4) / "shard-00000.safetensors")
    result = invoke("generate", copy_of.path, "--tokens", 1)
    assert result.code == 0
    assert "checkpoint of step 4 is passed over" in result.err
    assert "step 2, prompt 0" in result.err
    named = invoke("generate", copy_of.path, "--step", 4)
    assert named.code == 10
    assert "SHA-256" in named.err


def test_a_run_without_a_sound_checkpoint(copy_of: RunDirectory, invoke: Any) -> None:
    for step in (2, 4):
        flip(copy_of.checkpoint(step) / "shard-00000.safetensors")
    result = invoke("eval", copy_of.path)
    assert result.code == 10
    assert "has no checkpoint that verifies" in result.err


def test_checkpoint_list(trained: Any, runs: Any, invoke: Any) -> None:
    result = invoke("checkpoint", "list", "latest", *runs)
    assert result.code == 0
    _, first, second = (line.split() for line in result.out.splitlines())
    assert (first[0], first[-3:]) == ("2", ["9", "yes", "best"])
    assert (second[0], second[-3:]) == ("4", ["11", "yes", "latest"])
    rows = invoke("checkpoint", "list", "latest", *runs, "--json").json
    assert [row["step"] for row in rows] == [2, 4]
    assert all(row["verified"] and row["bytes"] > 0 for row in rows)


def test_checkpoint_verify(runs: Any, invoke: Any) -> None:
    result = invoke("checkpoint", "verify", "latest", *runs)
    assert result.code == 0
    assert [line.split(",")[0] for line in result.out.splitlines()] == ["step 2: verified", "step 4: verified"]
    assert len(invoke("checkpoint", "verify", "latest", *runs, "--step", 2, "--json").json) == 1


@pytest.mark.parametrize("damage", ["flip", "remove", "add"])
@pytest.mark.parametrize("command", ["list", "verify"])
def test_a_bad_checkpoint_gives_exit_code_10(command: str, damage: str, copy_of: RunDirectory, invoke: Any) -> None:
    file = copy_of.checkpoint(2) / "shard-00000.safetensors"
    if damage == "flip":
        flip(file)
    elif damage == "remove":
        file.unlink()
    else:
        (file.parent / "more.bin").write_bytes(b"")
    result = invoke("checkpoint", command, copy_of.path)
    assert result.code == 10
    assert "4" in result.out
    assert ("NO: " if command == "list" else "step 2: BAD") in result.out
    assert invoke("checkpoint", "verify", copy_of.path, "--step", 4).code == 0


def test_a_run_without_checkpoints(tmp_path: Path, invoke: Any) -> None:
    run = RunDirectory.create(tmp_path, "early")
    assert invoke("checkpoint", "list", run.path).code == 0
    result = invoke("checkpoint", "verify", run.path)
    assert result.code == 10
    assert "has no checkpoint" in result.err


def test_data_show_prints_the_rows_of_a_step(trained: Any, runs: Any, invoke: Any) -> None:
    rows = invoke("data", "show", trained.manifest_file, "--step", 3, "--json").json
    # step 3 is the third: four rows went before it
    assert [row["sample"] for row in rows] == [4, 5]
    batch = trained.dataset.rows(np.array([4, 5], dtype=np.int64))
    ids = [[token for piece in row["pieces"] for token in piece["ids"]] for row in rows]
    assert ids == batch.tokens.tolist()
    assert invoke("data", "show", "latest", *runs, "--step", 3, "--json").json == rows
    text = invoke("data", "show", trained.manifest_file, "--step", 3, "--rows", 1).out
    assert text.startswith("sample 4  source text")
    assert "sample 5" not in text
    assert invoke("data", "show", trained.manifest_file, "--step", 0).code == 2


def test_data_build_writes_shards_that_train_the_same(trained: Any, tmp_path: Path, invoke: Any) -> None:
    result = invoke("data", "build", trained.manifest_file, "--out", tmp_path / "shards")
    assert result.out == f"{tmp_path}/shards/text.shard\n"
    assert (tmp_path / "shards" / "tokenizer").is_dir()
    change = f'data.corpus={{kind: shards, files: ["{tmp_path}/shards/*.shard"]}}'
    dataset = prepare(load(trained.manifest_file, [change]).runs[0].manifest)
    samples = np.arange(6, dtype=np.int64)
    assert np.array_equal(dataset.rows(samples).tokens, trained.dataset.rows(samples).tokens)
    again = invoke("data", "build", trained.manifest_file, "--out", tmp_path / "shards")
    assert again.code == 3
    assert "exists" in again.err
