"""`hydra check`, `lower`, `schema`, `paths`: everything about a manifest that can be told without training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from hydra.data import prepare, vocabulary_of
from hydra.manifest import from_tree, load

ARMS = """
seeds: [1, 2, 3]
comparison: {apples_to_apples: false, arms: [base, wide], varies: [model.blocks]}
runs:
  arms:
    base: {}
    wide: {model: {blocks: [{mixer: {kind: softmax, heads: 2}, mlp: {kind: swiglu, hidden: 256}}]}}
"""


@pytest.fixture
def arms(trained: Any, tmp_path: Path) -> Path:
    """A manifest with two arms and three seeds."""
    path = tmp_path / "arms.yaml"
    path.write_text(trained.manifest_file.read_text("utf-8") + ARMS, encoding="utf-8")
    return path


def test_check_tells_sizes_and_groups(trained: Any, invoke: Any) -> None:
    result = invoke("check", trained.manifest_file)
    assert result.code == 0
    counted = sum(parameter.numel() for parameter in trained.model.parameters())
    assert f"tiny: valid" in result.out  # noqa: F541
    assert f"{counted:,} parameters" in result.out
    assert "4 steps of 2 x 32 = 256 tokens" in result.out


def test_check_as_json(trained: Any, invoke: Any) -> None:
    (finding,) = invoke("check", trained.manifest_file, "--json").json
    assert finding["parameters"]["total"] == sum(parameter.numel() for parameter in trained.model.parameters())
    assert finding["vocabulary"] == trained.dataset.vocabulary
    assert sum(group["parameters"] for group in finding["optimizer"]) == finding["parameters"]["total"]
    assert finding["blocks"] == {"softmax.swiglu": 1}


def test_check_builds_a_model_that_no_memory_could_hold(trained: Any, invoke: Any) -> None:
    (finding,) = invoke("check", trained.manifest_file, "--set", "model={preset: 8b}", "--json").json
    assert finding["parameters"]["total"] > 6_000_000_000


def test_check_of_several_runs(arms: Path, invoke: Any) -> None:
    findings = invoke("check", arms, "--json").json
    assert [finding["name"] for finding in findings] == [
        f"tiny-{arm}-s{seed}" for arm in ("base", "wide") for seed in (1, 2, 3)
    ]


def test_check_refuses_an_unfair_comparison_with_sizes(arms: Path, invoke: Any) -> None:
    result = invoke("check", arms, "--set", "comparison.apples_to_apples=true")
    assert result.code == 2
    assert "ComparisonError" in result.err
    assert "parameters" in result.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("training.stepps=5", "did you mean 'steps'?"),
        ("training.steps=many", "training.steps"),
        ("model.blocks.0.mixer.heads=3", "does not divide"),
        ("optimizer={kind: adamw, lr: 1.0e-3, match: [embedding.*]}", "no optimizer rule takes"),
    ],
)
def test_check_refuses_what_cannot_be_trained(change: str, told: str, trained: Any, invoke: Any) -> None:
    result = invoke("check", trained.manifest_file, "--set", change)
    assert result.code == 2
    assert told in result.err
    assert "Traceback" not in result.err


@pytest.mark.parametrize("command", ["check", "lower"])
def test_a_manifest_that_does_not_exist(command: str, tmp_path: Path, invoke: Any) -> None:
    result = invoke(command, tmp_path / "none.yaml")
    assert result.code == 2
    assert "there is no manifest at" in result.err


@pytest.mark.parametrize(
    "tokenizer",
    [
        {"kind": "bytes"},
        {"kind": "bpe", "vocabulary": 300},
        {"kind": "huggingface", "file": "{folder}/tokenizer.json", "end_of_document": "<|end|>"},
    ],
)
def test_the_counted_vocabulary_is_the_trained_one(tokenizer: dict[str, Any], trained: Any, tmp_path: Path) -> None:
    if tokenizer["kind"] == "huggingface":
        import tokenizers as library

        made = library.Tokenizer(library.models.BPE())
        made.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        made.decoder = library.decoders.ByteLevel()
        trainer = library.trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<|end|>"],
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        made.train([str(path) for path in (trained.root / "corpus").iterdir()], trainer)
        made.save(str(tmp_path / "tokenizer.json"))
        tokenizer = {**tokenizer, "file": str(tmp_path / "tokenizer.json")}
    changes = [f"tokenizer={json.dumps(tokenizer)}"]
    changes += [f'data.{name}_artifacts="{tmp_path}/artifacts"' for name in ("tokenizer", "token")]
    manifest = load(trained.manifest_file, changes).runs[0].manifest
    assert vocabulary_of(manifest) == prepare(manifest).vocabulary


def test_lower_prints_manifests_that_lower_to_themselves(arms: Path, invoke: Any) -> None:
    documents = list(yaml.safe_load_all(invoke("lower", arms).out))
    assert [document["name"] for document in documents][:2] == ["tiny-base-s1", "tiny-base-s2"]
    for document in documents:
        (again,) = from_tree(document).runs
        assert again.manifest == load(arms).runs[documents.index(document)].manifest


def test_lower_as_json_tells_origins(trained: Any, invoke: Any) -> None:
    (record,) = invoke("lower", trained.manifest_file, "--set", "training.steps=7", "--json").json
    assert record["manifest"]["training"]["steps"] == 7
    assert record["origins"]["training.steps"].startswith("--set")
    assert record["origins"]["training.clip"] == "default"
    assert len(record["manifest_hash"]) == len(record["experiment_hash"]) == 64


def test_schema_in_both_forms(invoke: Any) -> None:
    assert invoke("schema").json["properties"]["training"]
    assert invoke("schema", "--json").json == invoke("schema").json
    page = invoke("schema", "--markdown").out
    assert page.startswith("<!-- Generated")
    assert "training" in page
    assert invoke("schema", "--json", "--markdown").code == 2


def test_paths_prints_every_op_with_its_status(trained: Any, invoke: Any) -> None:
    result = invoke("paths", "--manifest", trained.manifest_file, "--device", "cpu")
    assert result.code == 0
    for op in ("attention", "rms_norm", "swiglu", "linear_cross_entropy", "adamw"):
        assert f"\n{op} " in result.out
    assert "verified" in result.out
    rows = invoke("paths", "--manifest", trained.manifest_file, "--device", "cpu", "--json").json["rows"]
    assert {"op", "direction", "runs", "status", "why"} <= rows[0].keys()


def test_paths_of_a_device_that_is_not_there(trained: Any, invoke: Any) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    result = invoke("paths", "--manifest", trained.manifest_file, "--device", "cuda")
    assert result.code == 2
    assert "cuda" in result.err


def test_the_example_manifests_are_valid(root: Path, invoke: Any) -> None:
    for path in sorted((root / "manifests").glob("*.yaml")):
        assert invoke("check", path).code == 0, path
