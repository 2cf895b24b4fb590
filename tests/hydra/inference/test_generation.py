"""Generation: what is read, what is drawn, where it ends, and what it leaves untouched."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hydra.attention import SeqMeta
from hydra.errors import UsageError
from hydra.inference import Generation, NonFiniteLogits, Sampling, generate
from hydra.runs.samples import SampleWriter, read_samples

GREEDY = Sampling(temperature=0)
HOT = Sampling(temperature=1.5, top_k=50, top_p=0.95, seed=11)
END = 256


def test_greedy_is_the_argmax_of_a_full_forward_at_each_step(model: Any, tokenizer: Any) -> None:
    prompt = "import os"
    [result] = generate(model, tokenizer, [prompt], tokens=24, sampling=GREEDY, context=64, forbid_end=True)
    ids = [END, *prompt.encode(), *result.ids]
    model.eval()
    with torch.no_grad():
        logits = model.logits(*full(ids))[0, :, :256]  # the bytes: neither end_of_document nor padding
    first = 1 + len(prompt)
    assert [int(row.argmax()) for row in logits[first - 1 : -1]] == list(result.ids)
    assert len(result.ids) == 24


def full(ids: list[int]) -> tuple[torch.Tensor, SeqMeta]:
    tokens = torch.tensor([ids])
    return tokens, SeqMeta.causal(tokens)


@settings(max_examples=15)
@given(st.lists(st.text("ab é", max_size=6), max_size=3), st.sampled_from([GREEDY, HOT]), st.integers(1, 20))
def test_cached_equals_uncached(
    untouched: Any, tokenizer: Any, prompts: list[str], sampling: Sampling, tokens: int
) -> None:
    both = [
        generate(untouched, tokenizer, prompts, tokens=tokens, sampling=sampling, context=40, cache=cache)
        for cache in (True, False)
    ]
    assert both[0] == both[1]


def test_the_cache_reads_each_token_once(model: Any, tokenizer: Any) -> None:
    generate(model, tokenizer, ["abc"], tokens=5, sampling=GREEDY, context=64, forbid_end=True)
    assert model.reads == [4, 1, 1, 1, 1]


def test_same_seed_same_text_other_seed_other_text(model: Any, tokenizer: Any) -> None:
    texts = [
        generate(model, tokenizer, ["x"], tokens=32, sampling=Sampling(1.0, 0, 1.0, seed), context=64)[0].ids
        for seed in (1, 1, 2)
    ]
    assert texts[0] == texts[1] != texts[2]


def test_each_token_has_a_draw_of_its_own(model: Any, tokenizer: Any) -> None:
    with torch.no_grad():
        model.head.zero_()
    sampling = Sampling(temperature=1.0, top_k=0)
    [result] = generate(model, tokenizer, [""], tokens=60, sampling=sampling, context=64, forbid_end=True)
    assert len(set(result.ids)) > 40


def test_a_prompt_alone_gives_what_it_gives_among_others(model: Any, tokenizer: Any) -> None:
    prompts = ["a", "", "long prompt " * 3, "a"]
    together = generate(model, tokenizer, prompts, tokens=20, sampling=HOT, context=64)
    for number, prompt in enumerate(prompts):
        [alone] = generate(model, tokenizer, [prompt], tokens=20, sampling=HOT, context=64, first_index=number)
        assert alone == together[number]
    assert together[0].ids != together[3].ids  # the same prompt under another index is another answer


def test_padding_of_the_vocabulary_is_never_drawn(model: Any, tokenizer: Any) -> None:
    with torch.no_grad():
        model.head[:, 257:] *= 10  # the padded ids would win nearly always
    for sampling in (GREEDY, Sampling(temperature=10.0, top_k=0, seed=5)):
        [result] = generate(model, tokenizer, [""], tokens=60, sampling=sampling, context=64, forbid_end=True)
        assert max(result.ids) < 256
        assert result.tokens == 60


def test_a_document_starts_fresh_and_may_end(scripted: Any, tokenizer: Any) -> None:
    model = scripted([*b"hi", END, *b"never"])
    [result] = generate(model, tokenizer, [""], tokens=10, sampling=GREEDY, context=64)
    assert (result.text, result.ended, result.ids, result.tokens) == ("hi", "end", tuple(b"hi"), 2)
    assert model.reads[0] == 1  # the empty prompt is end_of_document alone
    [result] = generate(model, tokenizer, [""], tokens=10, sampling=Sampling(1.0), context=64)
    assert result.text == "hi"


def test_length_and_context(scripted: Any, tokenizer: Any) -> None:
    model = scripted(list(b"0123456789" * 10))
    [result] = generate(model, tokenizer, ["abc"], tokens=5, sampling=GREEDY, context=9)
    assert (result.text, result.ended) == ("01234", "length")  # 4 + 5 = 9 just fits
    [result] = generate(model, tokenizer, ["abc"], tokens=6, sampling=GREEDY, context=9)
    assert (result.text, result.ended) == ("01234", "context")
    [result] = generate(model, tokenizer, ["abcdefg"], tokens=6, sampling=GREEDY, context=9)
    assert (result.text, result.ended) == ("0", "context")


@pytest.mark.parametrize("length", [7, 8, 100])
def test_a_prompt_longer_than_the_context_is_refused(model: Any, tokenizer: Any, length: int) -> None:
    with pytest.raises(UsageError) as caught:
        generate(model, tokenizer, ["fits", "a" * length], tokens=1, sampling=GREEDY, context=8)
    assert f"is {length + 1} tokens long" in caught.value.what
    assert "the context 8 tokens" in caught.value.what
    assert "at most 7 tokens" in caught.value.fix
    assert model.reads == []  # refused before the prompt that fits was read


def test_other_wrong_arguments_are_refused(model: Any, tokenizer: Any) -> None:
    with pytest.raises(UsageError, match="0 new tokens"):
        generate(model, tokenizer, ["a"], tokens=0, sampling=GREEDY, context=8)
    with pytest.raises(UsageError, match="stop string is empty"):
        generate(model, tokenizer, ["a"], tokens=1, sampling=GREEDY, context=8, stops=[""])


def test_stops_across_tokens(scripted: Any, words: Any) -> None:
    tokenizer = words([b"a", b" b\n", b"\nc", b" d"])
    model = scripted([0, 1, 2, 3], vocabulary=8)
    [result] = generate(model, tokenizer, [""], tokens=4, sampling=GREEDY, context=64, stops=["zz", "\n\n"])
    assert (result.text, result.ended, result.ids) == ("a b", "stop", (0, 1, 2))


def test_a_stop_whose_character_is_split_over_tokens(scripted: Any, words: Any) -> None:
    tokenizer = words([b"x\xe2", b"\x82", b"\xac y", b"z"])
    model = scripted([0, 1, 2, 3], vocabulary=8)
    [result] = generate(model, tokenizer, [""], tokens=4, sampling=GREEDY, context=64, stops=["€"])
    assert (result.text, result.ended, result.ids) == ("x", "stop", (0, 1, 2))


def test_a_stop_inside_one_token_cuts_the_rest(scripted: Any, words: Any) -> None:
    tokenizer = words([b"one. two", b"three"])
    [result] = generate(scripted([0, 1], 8), tokenizer, [""], tokens=2, sampling=GREEDY, context=64, stops=["."])
    assert (result.text, result.ended, result.ids) == ("one", "stop", (0,))


def test_half_a_stop_at_the_end_is_text(scripted: Any, tokenizer: Any) -> None:
    for script, ended in (([*b"ab\n", END], "end"), ([*b"ab\n", 0], "length")):
        [result] = generate(
            scripted(script), tokenizer, [""], tokens=3 + (ended == "end"), sampling=GREEDY, context=64, stops=["\n\n"]
        )
        assert (result.text, result.ended) == ("ab\n", ended)


def test_a_stop_that_only_the_end_completes(scripted: Any, tokenizer: Any) -> None:
    # An unfinished character is U+FFFD only once nothing follows, and then it is the stop.
    [result] = generate(
        scripted([0x61, 0xE2, END]), tokenizer, [""], tokens=5, sampling=GREEDY, context=64, stops=["\ufffd"]
    )
    assert (result.text, result.ended) == ("a", "stop")


def test_stops_do_not_look_into_the_prompt(scripted: Any, tokenizer: Any) -> None:
    [result] = generate(
        scripted(list(b"\nx\n\n")), tokenizer, ["a\n"], tokens=4, sampling=GREEDY, context=64, stops=["\n\n"]
    )
    assert (result.text, result.ended) == ("\nx", "stop")


def test_streaming_gives_whole_characters_that_add_up(scripted: Any, tokenizer: Any) -> None:
    pieces: list[tuple[int, str]] = []
    script = [*"aé€😀".encode(), 0xFF, *b"b", 0xE2]
    [result] = generate(
        scripted(script), tokenizer, ["p"], tokens=len(script), sampling=GREEDY, context=64,
        on_token=lambda index, piece: pieces.append((index, piece)), first_index=3,
    )  # fmt: skip
    assert pieces == [(3, text) for text in ("a", "é", "€", "😀", "\ufffdb", "\ufffd")]
    assert result.text == "aé€😀\ufffdb\ufffd"


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.lists(st.text("e \n", min_size=1, max_size=2), max_size=2))
def test_pieces_add_up_to_the_text(untouched: Any, tokenizer: Any, seed: int, stops: list[str]) -> None:
    pieces: dict[int, str] = {0: "", 1: ""}

    def collect(index: int, piece: str) -> None:
        assert piece
        pieces[index] += piece

    results = generate(
        untouched, tokenizer, ["", "x"], tokens=30, sampling=Sampling(2.0, 0, 1.0, seed), context=64, stops=stops,
        on_token=collect,
    )  # fmt: skip
    for result in results:
        assert pieces[result.index] == result.text
        assert not any(stop in result.text for stop in stops)
        if result.ended != "stop":
            assert result.text == tokenizer.decode(result.ids)


def test_forbid_end_goes_on(model: Any, tokenizer: Any) -> None:
    with torch.no_grad():
        model.head[:, END] = 0
        model.head[0, END] = 1e4
    results = [
        generate(model, tokenizer, ["a"], tokens=12, sampling=HOT, context=64, forbid_end=forbid)[0]
        for forbid in (False, True)
    ]
    assert results[0].tokens < 12
    assert (results[1].tokens, results[1].ended) == (12, "length")


def test_no_random_state_is_touched(model: Any, tokenizer: Any) -> None:
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()  # type: ignore[index]
    generate(model, tokenizer, ["a"], tokens=20, sampling=HOT, context=64)
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()
    assert np.array_equal(before[2], np.random.get_state()[1])  # type: ignore[index]


@pytest.mark.parametrize("fails", [False, True])
def test_modes_and_gradients_return_to_what_they_were(model: Any, tokenizer: Any, fails: bool) -> None:
    model.train()
    model.drop.eval()  # a mode that differs inside must survive too
    seen: list[tuple[bool, bool, bool]] = []

    def watch(index: int, piece: str) -> None:
        seen.append((model.training, torch.is_grad_enabled(), torch.is_inference_mode_enabled()))
        if fails:
            raise BrokenPipeError

    def run() -> None:
        generate(model, tokenizer, ["a"], tokens=8, sampling=HOT, context=64, on_token=watch)

    if fails:
        with pytest.raises(BrokenPipeError):
            run()
    else:
        run()
    assert set(seen) == {(False, False, False)}
    assert (model.training, model.drop.training, torch.is_grad_enabled()) == (True, False, True)


def test_a_model_of_nan_is_an_error(model: Any, tokenizer: Any) -> None:
    with torch.no_grad():
        model.head[0, 5] = float("nan")
    with pytest.raises(NonFiniteLogits):
        generate(model, tokenizer, ["a"], tokens=8, sampling=HOT, context=64)


def test_no_prompts_no_texts(model: Any, tokenizer: Any) -> None:
    assert generate(model, tokenizer, [], tokens=8, sampling=HOT, context=64) == []


def test_a_generation_is_a_line_of_samples(scripted: Any, tokenizer: Any, tmp_path: Any) -> None:
    sampling = Sampling(temperature=0.5, top_k=3, top_p=0.9, seed=7)
    [result] = generate(scripted(list(b"a" * 20)), tokenizer, ["p"], tokens=20, sampling=sampling, context=64)
    with SampleWriter(tmp_path / "samples.jsonl", attempt=2) as writer:
        writer.append(result.row(step=40, set="samples", prompt_id="0"))
    assert read_samples(tmp_path / "samples.jsonl") == [
        {
            "step": 40,
            "attempt": 2,
            "set": "samples",
            "prompt_id": "0",
            "index": 0,
            "seed": 7,
            "settings": {"temperature": 0.5, "top_k": 3, "top_p": 0.9, "tokens": 20, "stops": []},
            "prompt": "p",
            "text": "a" * 20,
            "tokens": 20,
            "ended": "length",
            "repetitive": True,
        }
    ]
    assert isinstance(result, Generation)
