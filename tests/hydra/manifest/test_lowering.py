"""Lowering: arms, variables, seeds, presets, repeats, inferred sizes - and that doing it twice changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.errors import ManifestError
from hydra.manifest import from_tree, load
from hydra.manifest.identity import resolved
from hydra.manifest.lowering import lower
from hydra.manifest.tree import Origins, Tree

Write = Callable[[str], Path]
Refusal = Callable[[dict[str, Any]], str]


def lowered(tree: dict[str, Any]) -> list[dict[str, Any]]:
    return [run.tree.data for run in lower(Tree(copy.deepcopy(tree)))]


# Variables


def test_a_whole_reference_takes_the_type_and_a_part_is_inserted(tree: dict[str, Any]) -> None:
    tree |= {"vars": {"width": 128, "tied": True}, "notes": "width ${width}, ${tied}"}
    tree["model"] |= {"width": "${width}", "head": {"tied": "${tied}"}}
    manifest = from_tree(tree).runs[0].manifest
    assert (manifest.model.width, manifest.model.head.tied, manifest.notes) == (128, True, "width 128, true")
    assert manifest.vars == {}


@pytest.mark.parametrize(
    ("variables", "notes", "expected"),
    [
        ({}, "${width}", "vars has no such value"),
        ({"widht": 1}, "${width}", "did you mean '${widht}'?"),
        ({"width": 1}, "", "vars.width is never used (given)"),
        ({"width": [1]}, "${width}", "is not text, a number or a boolean"),
        ({"width": None}, "${width}", "is not text, a number or a boolean"),
        ({"width": "${other}", "other": 1}, "${width}", "refers to another variable"),
        ({"index": 1}, "${index}", "repeat fills it"),
        ({"a b": 1}, "", "no name for a variable"),
        ({}, "${index}", "outside a repeat"),
        ({}, "${", "is no reference"),
        ({}, "${wid th}", "is no reference"),
        ({}, "$${HOME}", "vars has no such value"),
        (5, "", "vars is no mapping"),
    ],
)
def test_references_that_mean_nothing(
    refusal_of_tree: Refusal, tree: dict[str, Any], variables: object, notes: str, expected: str
) -> None:
    message = refusal_of_tree(tree | {"vars": variables, "notes": notes})
    assert expected.removesuffix(" (given)") in message


def test_a_variable_of_one_arm_is_used(tree: dict[str, Any]) -> None:
    tree |= {"vars": {"w": 128}, "runs": {"arms": {"a": {}, "b": {"model": {"width": "${w}"}}}}}
    assert [run.manifest.model.width for run in from_tree(tree).runs] == [64, 128]


def test_an_arm_may_change_a_variable(tree: dict[str, Any]) -> None:
    tree |= {"vars": {"w": 64}, "runs": {"arms": {"a": {}, "b": {"vars": {"w": 128}}}}}
    tree["model"]["width"] = "${w}"
    assert [run.manifest.model.width for run in from_tree(tree).runs] == [64, 128]


# Repeats


def block(**more: object) -> dict[str, Any]:
    return {"mixer": {"kind": "softmax", "heads": 4}, "mlp": {"kind": "swiglu"}} | more


def identifiers(tree: dict[str, Any], blocks: list[Any]) -> list[str]:
    tree["model"]["blocks"] = blocks
    return [one.id for one in from_tree(tree).runs[0].manifest.model.blocks]


def test_repeats_name_their_copies(tree: dict[str, Any]) -> None:
    blocks = [{"repeat": {"count": 2, "of": [block(id="a"), block()]}}, block(id="end")]
    assert identifiers(tree, blocks) == ["a.0", "block.1", "a.1", "block.3", "end"]


def test_nested_repeats_count_outside_in(tree: dict[str, Any]) -> None:
    inner = {"repeat": {"count": 2, "of": [block(id="x")]}}
    assert identifiers(tree, [{"repeat": {"count": 2, "of": [inner]}}]) == ["x.0.0", "x.0.1", "x.1.0", "x.1.1"]


def test_index_is_the_innermost_turn(tree: dict[str, Any]) -> None:
    windowed = block(mixer={"kind": "softmax", "heads": 4, "window": "${index}"})
    tree["model"]["blocks"] = [
        {"repeat": {"count": 2, "of": [{"repeat": {"count": 2, "of": [block(id="b${index}")]}}]}}
    ]
    with pytest.raises(ManifestError, match="two blocks with the id 'b0'"):
        from_tree(tree)
    tree["model"]["blocks"] = [{"repeat": {"count": 3, "of": [block(id="b${index}")]}}]
    assert [one.id for one in from_tree(tree).runs[0].manifest.model.blocks] == ["b0", "b1", "b2"]
    tree["model"]["blocks"] = [{"repeat": {"count": 2, "of": [windowed]}}]
    with pytest.raises(ManifestError, match=r"window must be greater than 0, got 0"):
        from_tree(tree)


def test_copies_share_nothing(tree: dict[str, Any]) -> None:
    tree["model"]["blocks"] = [{"repeat": {"count": 2, "of": [block()]}}]
    (data,) = lowered(tree)
    first, second = data["model"]["blocks"]
    first["mixer"]["heads"] = 8
    assert second["mixer"]["heads"] == 4


@pytest.mark.parametrize(
    "repeat",
    [
        5,
        {"count": 2},
        {"of": []},
        {"count": 0, "of": [block()]},
        {"count": True, "of": [block()]},
        {"count": 2.0, "of": [block()]},
        {"count": "2", "of": [block()]},
        {"count": 2, "of": []},
        {"count": 2, "of": block()},
        {"count": 2, "of": [block()], "id": "x"},
    ],
)
def test_a_repeat_is_exact(refusal_of_tree: Refusal, tree: dict[str, Any], repeat: object) -> None:
    tree["model"]["blocks"] = [{"repeat": repeat}]
    assert "repeat" in refusal_of_tree(tree).splitlines()[0]


def test_a_repeat_takes_nothing_beside_it(refusal_of_tree: Refusal, tree: dict[str, Any]) -> None:
    tree["model"]["blocks"] = [{"repeat": {"count": 2, "of": [block()]}, "id": "x"}]
    assert "must be exactly" in refusal_of_tree(tree)


def test_a_mistyped_count_does_not_fill_the_memory(refusal_of_tree: Refusal, tree: dict[str, Any]) -> None:
    many = {"repeat": {"count": 10**9, "of": [block()]}}
    tree["model"]["blocks"] = [{"repeat": {"count": 10**9, "of": [many]}}]
    assert "more than 10000 blocks" in refusal_of_tree(tree)


def test_what_is_no_block_is_left_to_the_schema(refusal_of_tree: Refusal, tree: dict[str, Any]) -> None:
    tree["model"]["blocks"] = [5, "x", None]
    assert "model.blocks.0 must be a mapping of settings, got 5" in refusal_of_tree(tree)


# Presets


def test_a_preset_is_written_out_and_changed_by_its_neighbours(tree: dict[str, Any]) -> None:
    tree["model"] = {"preset": "4m"}
    plain = from_tree(tree).runs[0]
    tree["model"] = {"preset": "4m", "head": {"softcap": 15.0}, "init_std": 0.01}
    changed = from_tree(tree).runs[0]
    assert changed.manifest.model.head.tied == plain.manifest.model.head.tied
    assert changed.manifest.model.head.softcap == 15.0
    assert changed.manifest.model.init_std == 0.01
    assert changed.manifest.model.blocks == plain.manifest.model.blocks
    assert plain.origins["model.width"] == "preset 4m"


@pytest.mark.parametrize("name", ["4n", 4, None, ["4m"], {"4m": 1}, True])
def test_an_unknown_preset(refusal_of_tree: Refusal, tree: dict[str, Any], name: object) -> None:
    tree["model"] = {"preset": name}
    message = refusal_of_tree(tree)
    assert "there is no such preset" in message
    assert "124m" in message


# Shorthands


def test_both_spellings_of_the_corpus_contradict_each_other(refusal_of_tree: Refusal, tree: dict[str, Any]) -> None:
    tree["data"]["sources"] = []
    assert "data has both 'corpus'" in refusal_of_tree(tree)


def test_a_single_source_is_named_after_its_corpus(tree: dict[str, Any]) -> None:
    assert from_tree(tree).runs[0].manifest.data.sources[0].name == "stdlib"


def test_origins_survive_shorthands_and_repeats(write: Write, small: str) -> None:
    origins = load(write(small), ["optimizer.weight_decay=0.2"]).runs[0].origins
    assert origins["optimizer.0.lr"].endswith("m.yaml:12")
    assert origins["optimizer.0.weight_decay"] == "--set optimizer.weight_decay=0.2"
    assert origins["optimizer.0.epsilon"] == "default"
    assert origins["data.sources.0.corpus.kind"].endswith("m.yaml:4")
    assert origins["data.sources.0.weight"] == "data.corpus"
    assert origins["model.blocks.1.mixer.heads"].endswith("m.yaml:11")
    assert origins["model.blocks.1.mixer.kv_heads"] == "inferred from model.width"
    assert origins["model.blocks.1.norm.kind"] == "inferred from model.norm"
    assert origins["training.micro_batch"] == "inferred from training.batch"


def test_stored_origins_are_taken_over(write: Write, small: str) -> None:
    first = load(write(small)).runs[0]
    again = from_tree(resolved(first.manifest), ["training.steps=50"], origins=first.origins).runs[0]
    assert again.origins == first.origins | {"training.steps": "--set training.steps=50"}


# Inferred sizes


def test_sizes_follow_from_the_width(tree: dict[str, Any]) -> None:
    manifest = from_tree(tree).runs[0].manifest
    mixer, mlp = manifest.model.blocks[0].mixer.model_dump(), manifest.model.blocks[0].mlp.model_dump()
    assert (mixer["kv_heads"], mixer["head_width"], mlp["hidden"]) == (4, 16, 192)
    assert (manifest.model.context, manifest.training.micro_batch) == (64, 4)
    assert manifest.model.norm == manifest.model.blocks[0].norm


def test_what_is_written_stays(tree: dict[str, Any]) -> None:
    tree["model"]["blocks"] = [block(mixer={"kind": "softmax", "heads": 5, "head_width": 8}, norm={"weight": False})]
    one = from_tree(tree).runs[0].manifest.model.blocks[0]
    assert one.mixer.model_dump()["head_width"] == 8
    assert one.norm.model_dump() == {"kind": "rms_norm", "epsilon": 1e-6, "weight": False}


# Idempotence


SHAPES = st.fixed_dictionaries(
    {},
    optional={
        "seeds": st.lists(st.integers(0, 9), min_size=1, max_size=3, unique=True) | st.integers(0, 9),
        "notes": st.text("ab ${}", max_size=5),
        "vars": st.just({"heads": 4}),
        "runs": st.just({"arms": {"a": {}, "b": {"model": {"width": 128}}}}),
        "model": st.builds(
            lambda blocks, more: {"width": 64, "blocks": blocks} | more,
            st.lists(
                st.sampled_from(
                    [
                        block(),
                        block(id="named"),
                        {"repeat": {"count": 2, "of": [block(id="r"), block()]}},
                        {"repeat": {"count": 2, "of": [{"repeat": {"count": 2, "of": [block(id="${index}")]}}]}},
                        block(mixer={"kind": "softmax", "heads": "${heads}"}),
                    ]
                ),
                min_size=1,
                max_size=3,
            ),
            st.sampled_from([{}, {"norm": {"weight": False}}, {"context": 128}]),
        ),
    },
)


@given(SHAPES)
def test_lowering_twice_is_lowering_once(changes: dict[str, Any]) -> None:
    base = {
        "schema": 1,
        "name": "small",
        "data": {"corpus": {"kind": "stdlib"}, "sequence": 64},
        "tokenizer": {"kind": "bytes"},
        "model": {"width": 64, "blocks": [block()]},
        "optimizer": {"kind": "adamw", "lr": 3e-3},
        "schedule": {"kind": "constant"},
        "training": {"steps": 10, "batch": 4},
    }
    try:
        once = lowered(base | changes)
    except ManifestError:
        return
    for data in once:
        assert lowered(data) == [data]


def test_a_resolved_manifest_lowers_to_itself(tree: dict[str, Any]) -> None:
    tree |= {"seeds": [1, 2], "runs": {"arms": {"a": {}, "b": {"training": {"steps": 20}}}}}
    for run in from_tree(tree).runs:
        (again,) = from_tree(resolved(run.manifest)).runs
        assert (again.manifest, again.arm) == (run.manifest, run.arm)


def test_origins_of_a_moved_part_are_independent() -> None:
    origins = Origins("file", {"a": Origins("line 1", {"b": Origins("line 2")})})
    copy_of_a = origins.at(("a",))
    copy_of_a.put(("b",), Origins("changed"))
    assert (origins.closest(("a", "b")), copy_of_a.closest(("b",))) == ("line 2", "changed")
    assert origins.at(("a", "c")).own == "line 1"
