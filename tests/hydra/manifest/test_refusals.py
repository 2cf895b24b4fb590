"""Bad input: what the message says, which line it names, and that one mistake is told once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Refusal = Callable[..., str]


def told(message: str, *parts: str) -> None:
    for part in parts:
        assert part in message, f"{part!r} is not in:\n{message}"


def test_an_unknown_key_names_the_nearest_one(refusal: Refusal, small: str) -> None:
    message = refusal(small.replace("heads: 4", "heads: 4, windw: 3", 1))
    told(message, "model.blocks.0.mixer has no field 'windw' (", "m.yaml:10", "did you mean 'window'?")


def test_an_unknown_key_explains_what_is_missing(refusal: Refusal, small: str) -> None:
    message = refusal(small.replace("steps: 10", "stpes: 10"))
    told(message, "training has no field 'stpes'", "did you mean 'steps'?", "also: training.steps is missing")
    assert message.index("stpes") < message.index("is missing")


def test_an_unknown_section(refusal: Refusal, small: str) -> None:
    told(refusal(small + "trainning: {}\n"), "the manifest has no field 'trainning'", "did you mean 'training'?")


@pytest.mark.parametrize(("wrong", "right"), [("corpsu", "corpus"), ("sequense", "sequence")])
def test_shorthands_are_suggested_too(refusal: Refusal, small: str, wrong: str, right: str) -> None:
    told(refusal(small.replace(f"{right}:", f"{wrong}:", 1)), f"has no field '{wrong}'", f"did you mean '{right}'?")


def test_a_mistyped_preset_key_is_suggested(refusal: Refusal, small: str) -> None:
    told(refusal(small.replace("  width: 64", "  width: 64\n  prest: 4m")), "did you mean 'preset'?")


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("steps: 10", "steps: ten", "training.steps must be an integer, got ten"),
        ("steps: 10", "steps: 10.5", "training.steps must be an integer, got 10.5"),
        ("steps: 10", "steps: 10.0", "write it without a point"),
        ("steps: 10", "steps: true", "training.steps must be an integer, got true"),
        ("steps: 10", "steps: null", "training.steps must be an integer, got null"),
        ("steps: 10", "steps: [10]", "training.steps must be an integer, got [10]"),
        ("steps: 10", "steps: '10'", "write 10, without quotes"),
        ("steps: 10", "steps: 1e1", "write 10"),
        ("steps: 10", "steps: 0", "training.steps must be greater than 0, got 0"),
        ("steps: 10", "steps: 10, clip: -1.0", "training.clip must be greater than 0"),
        ("steps: 10", "steps: 10, compile: off", "put text in quotes"),
        ("steps: 10", "steps: 10, compile: block", "did you mean 'blocks'?"),
        ("steps: 10", "steps: 10, threads: x", "training.threads must be an integer or auto, got x"),
        ("steps: 10", "steps: 10, threads: 0", "training.threads must be greater than 0 or auto, got 0"),
        ("lr: 3.0e-3", "lr: 3e-3", "write 0.003"),
        ("lr: 3.0e-3", "lr: 3e-8", "write 3.0e-08, with a point and a signed exponent"),
        ("lr: 3.0e-3", "lr: yes", "optimizer.0.lr must be a number, got true"),
        ("lr: 3.0e-3", "lr: 3.0e-3, betas: [0.9]", "optimizer.0.betas"),
        ("lr: 3.0e-3", "lr: 3.0e-3, betas: [0.9, 0.95, 0.99]", "takes at most 2 items"),
        ("lr: 3.0e-3", "lr: 3.0e-3, betas: 0.9", "must be a list"),
        ("name: small", "name: Small_LM", "lower-case letters, digits and hyphens"),
        ("name: small", "name: on", "put text in quotes"),
        ("name: small", "name: 5", 'name: "5"'),
        ("name: small", "name: ''", "lower-case letters"),
        ("tokenizer: {kind: bytes}", "tokenizer: bytes", "must be a mapping"),
        ("tokenizer: {kind: bytes}", "tokenizer: {}", "tokenizer names no kind"),
        ("tokenizer: {kind: bytes}", "tokenizer: {kind: byte}", "did you mean 'bytes'?"),
        ("tokenizer: {kind: bytes}", "tokenizer: {kind: bpe}", "tokenizer.vocabulary is missing"),
        ("corpus: {kind: stdlib}", "corpus: {}", "data.sources.0.corpus names no kind"),
        ("corpus: {kind: stdlib}", "corpus: null", "data.sources.0.corpus"),
        ("corpus: {kind: stdlib}", "corpus: {kind: text}", "data.sources.0.corpus.files is missing"),
        ("corpus: {kind: stdlib}", "sources: []", "data.sources needs at least 1 item"),
        ("corpus: {kind: stdlib}", "corpus: {kind: stdlib}, sources: []", "not valid YAML"),
        ("mlp: {kind: swiglu}", "mlp: {kind: swigloo}", "did you mean 'swiglu'?"),
        ("training: {steps: 10, batch: 4}", "training: 5", "training must be a mapping of settings, got 5"),
        ("training: {steps: 10, batch: 4}", "", "training is missing"),
    ],
)
def test_wrong_values(refusal: Refusal, small: str, before: str, after: str, expected: str) -> None:
    assert before in small
    told(refusal(small.replace(before, after, 1)), expected)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("heads: 4}", "heads: 5}", "heads=5 does not divide width=64 (heads: "),
        ("heads: 4}", "heads: 4, kv_heads: 3}", "kv_heads=3 does not divide heads=4 (kv_heads: "),
        ("heads: 4}", "heads: 4, head_width: 15}", "head_width=15 is odd"),
        (
            "steps: 10, batch: 4",
            "steps: 10, batch: 4, micro_batch: 3",
            "micro_batch=3 does not divide training.batch=4",
        ),
        ("warmup_steps: 2", "warmup_steps: 11", "schedule.warmup_steps=11 exceeds training.steps=10"),
        ("width: 64", "width: 64\n  context: 32", "model.context=32 is shorter than data.sequence=64"),
        ("blocks:", "blocks:\n    - {id: block.1, mixer: {kind: softmax, heads: 4}, mlp: {kind: gelu}}", "block.1"),
    ],
)
def test_impossible_shapes_name_both_numbers(
    refusal: Refusal, small: str, before: str, after: str, expected: str
) -> None:
    message = refusal(small.replace(before, after, 1))
    told(message, expected, "m.yaml:" if "block.1" not in expected else "two blocks")


def test_no_noise_about_lists_whose_items_failed(refusal: Refusal, small: str) -> None:
    message = refusal(small.replace("lr: 3.0e-3", "lr: 3e-3"))
    assert "also:" not in message
    assert "at least" not in message


def test_no_noise_about_inferred_values(refusal: Refusal, small: str) -> None:
    message = refusal(small.replace("batch: 4", "batch: many"))
    assert "micro_batch" not in message


def test_one_mistake_in_a_repeat_is_told_once(refusal: Refusal, small: str) -> None:
    block = "    - {mixer: {kind: softmax, heads: 4}, mlp: {kind: swiglu}}\n"
    repeated = "    - repeat: {count: 12, of: [{mixer: {kind: softmax, heads: 4, windw: 3}, mlp: {kind: swiglu}}]}\n"
    message = refusal(small.replace(block, repeated, 1))
    assert message.count("windw") == 1
    told(message, "[and 11 more]", "m.yaml:10")


def test_all_mistakes_are_told(refusal: Refusal, small: str) -> None:
    message = refusal(small.replace("steps: 10", "steps: ten").replace("sequence: 64", "sequence: long"))
    told(message, "training.steps", "data.sequence", "also: ")


def test_a_long_list_of_mistakes_is_cut(refusal: Refusal, small: str) -> None:
    message = refusal(small + "".join(f"unknown{n}: 1\n" for n in range(30)))
    told(message, "and 19 more")


def test_a_set_inside_a_shorthand_names_the_set(refusal: Refusal, small: str) -> None:
    told(refusal(small, "data.corpus.kind=foo"), "(--set data.corpus.kind=foo)")
    told(
        refusal(small, "optimizer.lr=-1.0"), "optimizer.0.lr must be greater than 0, got -1.0 (--set optimizer.lr=-1.0)"
    )


def test_a_set_inside_a_repeat_names_the_set(refusal: Refusal, small: str) -> None:
    block = "    - {mixer: {kind: softmax, heads: 4}, mlp: {kind: swiglu}}\n"
    repeated = "    - repeat: {count: 3, of: [{mixer: {kind: softmax, heads: 4}, mlp: {kind: swiglu}}]}\n"
    override = "model.blocks.0.repeat.of.0.mixer.kv_heads=3"
    message = refusal(small.replace(block, repeated, 1), override)
    told(message, f"kv_heads: --set {override}", "heads: ", "m.yaml:10", "[and 2 more]")


def test_data_without_lines_names_none(refusal_of_tree: Refusal, tree: dict[str, Any]) -> None:
    tree["training"]["steps"] = "ten"
    message = refusal_of_tree(tree)
    told(message, "training.steps must be an integer, got ten\n")
    assert "given" not in message


def test_every_message_has_an_example_of_this_field(refusal: Refusal, small: str) -> None:
    told(refusal(small.replace("batch: 4", "batch: many")), "example: batch: 16")
    told(refusal(small.replace("tokenizer: {kind: bytes}", "tokenizer: {kind: bpe}")), "example: vocabulary: 257")
    told(refusal(small.replace("    - {mixer", "    - {mixr", 1)), "example: mixer: {kind: softmax, heads: 8}")
