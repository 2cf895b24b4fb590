"""Tokenizers of the `tokenizer.json` format: the families that exist in the wild, exact or refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, trainers

from hydra.data import load_tokenizer
from hydra.data.document import Document
from hydra.data.tokenizers.bpe import HOSTILE
from hydra.data.tokenizers.huggingface import JsonTokenizer
from hydra.data.tokenizers.spelling import byte_alphabet
from hydra.errors import DataError

WORDS = ["hello world", "def f(x): return x", "the cat sat on the mat", "hello hello the the"] * 5
BYTE_PIECES = [f"<0x{byte:02X}>" for byte in range(256)]


def byte_level(end: str = "<|endoftext|>", vocabulary: int = 300) -> dict[str, Any]:
    """The family of GPT-2, Llama 3 and Qwen."""
    native = tokenizers.Tokenizer(models.BPE())
    native.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    native.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    native.train_from_iterator(WORDS, trainer=trainer)
    native.add_special_tokens([end, "<|other|>"])
    native.add_tokens([AddedToken("<tool>", normalized=False)])
    return json.loads(native.to_str())


def metaspace(byte_fallback: bool = True) -> dict[str, Any]:
    """The family of Llama 2 and Mistral: pieces with U+2581 for a space, single bytes for the rest."""
    letters = [*"abcdefghijklmnopqrstuvwxyz", "\u2581", "\u00e9"]
    pieces = ["<unk>", "<s>", "</s>", *(BYTE_PIECES if byte_fallback else []), *letters, "th", "the", "\u2581the"]
    merges = [("t", "h"), ("th", "e"), ("\u2581", "the")]
    vocabulary = {piece: index for index, piece in enumerate(pieces)}
    native = tokenizers.Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=byte_fallback))
    native.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    steps = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    native.decoder = decoders.Sequence(steps)
    native.add_special_tokens(["<unk>", "<s>", "</s>"])
    return json.loads(native.to_str())


def word_pieces() -> dict[str, Any]:
    """The family of BERT, which forgets the spaces between words."""
    native = tokenizers.Tokenizer(models.WordPiece({"[UNK]": 0, "[SEP]": 1, "the": 2, "##re": 3}, unk_token="[UNK]"))
    native.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    native.decoder = decoders.WordPiece()
    native.add_special_tokens(["[UNK]", "[SEP]"])
    return json.loads(native.to_str())


def from_definition(definition: dict[str, Any], end: str = "<|endoftext|>") -> JsonTokenizer:
    return JsonTokenizer(json.dumps(definition), end, "test.json")


BYTE_LEVEL = from_definition(byte_level())
METASPACE = from_definition(metaspace(), "</s>")


@given(text=st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(HOSTILE))
def test_any_text_comes_back_and_its_bytes_are_counted(text: str) -> None:
    ids = BYTE_LEVEL.encode(text)
    assert BYTE_LEVEL.decode(ids) == text
    assert BYTE_LEVEL.token_bytes[np.array(ids, dtype=np.int64)].sum() == len(text.encode("utf-8"))


@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, METASPACE], ids=["byte-level", "metaspace"])
def test_saved_is_the_same_tokenizer(tokenizer: JsonTokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.digest == tokenizer.digest
    assert loaded.encode("the cat sat") == tokenizer.encode("the cat sat")
    assert np.array_equal(loaded.token_bytes, tokenizer.token_bytes)
    assert not loaded.token_bytes[loaded.size :].any()


@pytest.mark.parametrize("tokenizer", [BYTE_LEVEL, METASPACE], ids=["byte-level", "metaspace"])
def test_special_tokens_spelled_out_stay_text(tokenizer: JsonTokenizer) -> None:
    for literal in ("<|endoftext|>", "<|other|>", "</s>", "<s>"):
        ids = tokenizer.encode(f"a{literal}b")
        assert tokenizer.end_of_document not in ids
        assert literal in tokenizer.decode(ids)
    assert len(BYTE_LEVEL.encode("<|endoftext|>")) > 1


def test_the_end_token_stays_text_even_where_the_file_does_not_call_it_special() -> None:
    definition = byte_level()
    for token in definition["added_tokens"]:
        token["special"] = False
    tokenizer = from_definition(definition)
    assert tokenizer.end_of_document not in tokenizer.encode("x<|endoftext|>y")
    assert tokenizer.token_bytes[tokenizer.end_of_document] == 0


@given(st.text(max_size=30).map(lambda text: text.replace("\u2581", "")).filter(str.isascii))
def test_metaspace_counts_bytes_with_its_prefix_space(text: str) -> None:
    ids = METASPACE.encode(text)
    assert METASPACE.decode(ids) == text
    assert METASPACE.token_bytes[np.array(ids, dtype=np.int64)].sum() == len(text.encode()) + bool(text)


def test_metaspace_bytes_by_hand() -> None:
    vocabulary = METASPACE._native.get_vocab()
    expected = {
        "</s>": 0,
        "<s>": 0,
        "<unk>": 0,
        "<0x00>": 1,
        "<0xFF>": 1,
        "a": 1,
        "\u2581": 1,
        "\u2581the": 4,
        "\u00e9": 2,
    }
    assert {piece: int(METASPACE.token_bytes[vocabulary[piece]]) for piece in expected} == expected
    assert METASPACE.decode(METASPACE.encode("the \u4e2d")) == "the \u4e2d"


def test_added_tokens_of_text_count_their_bytes() -> None:
    tool = BYTE_LEVEL._native.token_to_id("<tool>")
    assert BYTE_LEVEL.encode("a<tool>b")[1] == tool
    assert BYTE_LEVEL.token_bytes[tool] == 6


def test_the_byte_alphabet_is_that_of_the_library() -> None:
    assert byte_alphabet() == frozenset(pre_tokenizers.ByteLevel.alphabet())


def test_settings_that_would_change_the_ids_are_off() -> None:
    definition = byte_level()
    definition["truncation"] = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    definition["padding"] = {
        "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "x",
    }  # fmt: skip
    definition["model"]["dropout"] = 0.5
    tokenizer = from_definition(definition)
    assert tokenizer.encode("hello world, hello hello") == BYTE_LEVEL.encode("hello world, hello hello")
    assert tokenizer.digest == BYTE_LEVEL.digest


def _without_a_byte(definition: dict[str, Any]) -> None:
    vocabulary = definition["model"]["vocab"]
    vocabulary["zzzz"] = vocabulary.pop("z")


def _swallows(definition: dict[str, Any]) -> None:
    definition["added_tokens"][-1]["lstrip"] = True


def _foreign_piece(definition: dict[str, Any]) -> None:
    definition["model"]["vocab"]["\u4e2d"] = 5000


@pytest.mark.parametrize(
    ("definition", "end", "change", "message"),
    [
        (word_pieces, "[SEP]", None, "cannot be determined"),
        (byte_level, "<|endoftext|>", _without_a_byte, "cannot be determined"),
        (byte_level, "<|endoftext|>", _swallows, "cannot be determined"),
        (byte_level, "<|endoftext|>", _foreign_piece, "cannot be determined"),
        (byte_level, "<|endoftex|>", None, r"no token '<\|endoftex\|>'; did you mean '<\|endoftext\|>'"),
    ],
)
def test_tokenizers_that_would_measure_wrong_are_refused(
    definition: Callable[[], dict[str, Any]], end: str, change: Callable[[dict[str, Any]], None] | None, message: str
) -> None:
    value = definition()
    if change is not None:
        change(value)
    with pytest.raises(DataError, match=message):
        from_definition(value, end)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"model": {"type": "BPE"}}', "[" * 100000, '{"model": {}}'])
def test_what_is_no_tokenizer_is_refused(text: str) -> None:
    with pytest.raises(DataError, match=r"test.json is not a tokenizer.json"):
        JsonTokenizer(text, "x", "test.json")


def test_text_without_ids_is_refused_with_its_place() -> None:
    tokenizer = from_definition(metaspace(byte_fallback=False), "</s>")
    assert tokenizer.encode("the cat")
    with pytest.raises(DataError, match=r"a.txt:1: the text contains .* unknown text"):
        tokenizer.encode_documents([Document("the \u4e2d", "a.txt:1")])
