"""`--set`: paths through what the file holds, values as YAML, and both spellings of a shorthand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.errors import ManifestError
from hydra.manifest import from_tree, load
from hydra.manifest.identity import resolved
from hydra.manifest.overrides import apply
from hydra.manifest.paths import dotted, parsed
from hydra.manifest.tree import Data, Tree, leaves

Write = Callable[[str], Path]


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("training.steps=50", "training.steps", 50),
        (" training.steps =50", "training.steps", 50),
        ("training.clip=null", "training.clip", None),
        ("optimizer.lr=1.0e-4", "optimizer.0.lr", 1e-4),
        ("optimizer.0.lr=1.0e-4", "optimizer.0.lr", 1e-4),
        ("optimizer.betas=[0.8, 0.9]", "optimizer.0.betas.1", 0.9),
        ("data.corpus={kind: synthetic, tokens: 100}", "data.sources.0.corpus.tokens", 100),
        ("data.sources.0.corpus={kind: synthetic, tokens: 100}", "data.sources.0.corpus.tokens", 100),
        ("model.blocks.1.mixer.kv_heads=2", "model.blocks.1.mixer.kv_heads", 2),
        ("kernels.pin.rms_norm=reference", "kernels.pin.rms_norm", "reference"),
        ('kernels.pin."a.b"=reference', 'kernels.pin."a.b"', "reference"),
        ("notes='a=b'", "notes", "a=b"),
        ("notes=a b", "notes", "a b"),
        ("notes=''", "notes", ""),
        ("seeds=7", "seeds.0", 7),
        ("tracking.wandb={project: p}", "tracking.wandb.project", "p"),
        ("evaluation.samples.prompts=[a, b]", "evaluation.samples.prompts.1", "b"),
    ],
)
def test_a_setting_reads_back(write: Write, small: str, override: str, path: str, value: object) -> None:
    run = load(write(small), [override]).runs[0]
    flat = {dotted(place): leaf for place, leaf in leaves(resolved(run.manifest))}
    assert flat[path] == value
    assert run.origins[path] == f"--set {override}"


def test_later_settings_win(write: Write, small: str) -> None:
    assert load(write(small), ["training.steps=50", "training.steps=60"]).runs[0].manifest.training.steps == 60


def test_a_setting_of_a_file_works_on_its_resolved_manifest(write: Write, small: str) -> None:
    stored = resolved(load(write(small)).runs[0].manifest)
    overrides = ["optimizer.lr=1.0e-4", "data.corpus={kind: synthetic, tokens: 100}", "training.steps=50"]
    assert (
        from_tree(stored, overrides).runs[0].manifest
        == from_tree(
            resolved(load(write(small), overrides).runs[0].manifest) | {"data": resolved_data(stored, overrides)}
        )
        .runs[0]
        .manifest
    )


def resolved_data(stored: dict[str, Any], overrides: list[str]) -> dict[str, Any]:
    """The name of a single source comes from the corpus that the file gave, so only that may differ."""
    return dict(resolved(from_tree(stored, overrides).runs[0].manifest)["data"])


def test_overrides_are_kept_with_the_experiment(write: Write, small: str) -> None:
    experiment = load(write(small), ["training.steps=50"])
    assert experiment.overrides == ("training.steps=50",)
    assert experiment.text == small


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.steps", "is not of the form path=value"),
        ("=5", "is not of the form path=value"),
        ("training..steps=5", "is not of the form path=value"),
        ("training.steps.=5", "is not of the form path=value"),
        ('kernels.pin."a=5', "is not of the form path=value"),
        ("training.steps=", "gives no value"),
        ("training.steps=  ", "gives no value"),
        ("training.steps=[", "not valid YAML"),
        ("training.steps=5\nname: x", "not valid YAML"),
        ("training.steps=010", "octal"),
        ("training.stps=5", "did you mean 'steps'?"),
        ("training.steps.more=5", "'training.steps' is 10"),
        ("model.blocks.9.id=a", "'model.blocks' is a list of 2"),
        ("model.blocks.²=a", "'model.blocks' is a list of 2"),
        ("model.blocks.-1=a", "'model.blocks' is a list of 2"),
        ("training.0=5", "has no '0'"),
        ("0=5", "'the top'"),
        ("model.nothing.0.x=5", "is not in the file"),
    ],
)
def test_settings_that_cannot_be(write: Write, small: str, override: str, expected: str) -> None:
    with pytest.raises(ManifestError) as caught:
        load(write(small), [override])
    assert expected in str(caught.value)


def test_a_position_in_a_preset_says_so(write: Write, small: str) -> None:
    text = small[: small.index("model:")] + "model: {preset: 4m}\n" + small[small.index("optimizer:") :]
    with pytest.raises(ManifestError, match="before presets and repeats are written out"):
        load(write(text), ["model.blocks.0.mixer.heads=4"])


def test_a_position_in_front_of_a_repeat_says_where_to_look(write: Write, small: str) -> None:
    block = "    - {mixer: {kind: softmax, heads: 4}, mlp: {kind: swiglu}}\n"
    repeated = "    - repeat: {count: 3, of: [{mixer: {kind: softmax, heads: 4}, mlp: {kind: swiglu}}]}\n"
    with pytest.raises(ManifestError, match="a repeat must be exactly"):
        load(write(small.replace(block, repeated, 1)), ["model.blocks.0.mixer.heads=4"])


NAMES = st.text(min_size=1, max_size=5)
PARTS = NAMES | st.integers(0, 999)


@given(st.lists(PARTS, min_size=1, max_size=5))
def test_paths_and_their_spelling_are_one_to_one(parts: list[str | int]) -> None:
    path = tuple(parts)
    assert parsed(dotted(path)) == path


@given(st.text(max_size=20))
def test_any_text_is_a_path_or_a_value_error(text: str) -> None:
    try:
        path = parsed(text)
    except ValueError:
        return
    assert path


VALUES = st.none() | st.booleans() | st.integers(-1000, 1000) | st.sampled_from(["text", "a b"])


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4), VALUES)
def test_whatever_is_set_reads_back(parts: list[str], value: Data) -> None:
    text = "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    tree = apply(Tree({}), [f"{'.'.join(parts)}={text}"])
    assert tree.get(tuple(parts)) == value
    assert tree.origin(tuple(parts)) == f"--set {'.'.join(parts)}={text}"
