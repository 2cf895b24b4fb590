"""Streaming text: whole characters only, nothing taken back, and in the end exactly what decoding at once gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from hydra.data.config import BpeTokenizer
from hydra.data.document import Document
from hydra.data.tokenizers import Tokenizer
from hydra.data.tokenizers.bpe import train_bpe
from hydra.inference.text import TextStream


def decode(ids: Sequence[int]) -> str:
    return bytes(i for i in ids if i < 256).decode(errors="replace")


def stream(ids: Sequence[int], prompt: Sequence[int] = ()) -> list[str]:
    text = TextStream(decode, prompt)
    return [*(text.feed(i) for i in ids), text.flush()]


@given(st.binary(max_size=60))
def test_any_bytes_stream_to_what_they_decode_to(data: bytes) -> None:
    assert "".join(stream(list(data))) == data.decode(errors="replace")


@given(st.text(max_size=20))
def test_valid_text_never_shows_half_a_character(text: str) -> None:
    pieces = stream(list(text.encode()))
    assert "".join(pieces) == text
    # Each byte that completes a character gives it at once, the others give nothing; U+FFFD itself may wait.
    if "\ufffd" not in text:
        expected = []
        for character in text:
            expected += [""] * (len(character.encode()) - 1) + [character]
        assert pieces == [*expected, ""]


def test_text_before_an_unfinished_character_does_not_wait() -> None:
    pieces = {0: b"a b\xe2", 1: b"\x82", 2: b"\xac!"}
    text = TextStream(lambda ids: b"".join(pieces[i] for i in ids).decode(errors="replace"))
    assert [text.feed(0), text.feed(1), text.feed(2), text.flush()] == ["a b", "", "€!", ""]


def test_invalid_bytes_become_replacement_characters() -> None:
    assert stream([0x61, 0xFF, 0x62]) == ["a", "", "\ufffdb", ""]
    assert stream([0x61, 0xE2, 0x82]) == ["a", "", "", "\ufffd"]
    assert "".join(stream([0xE2, 0xE2, 0x28])) == "\ufffd\ufffd("


def test_ids_without_text_change_nothing() -> None:
    assert "".join(stream([0x61, 256, 0x62])) == "ab"
    assert "".join(stream([0xC3, 256, 0xA9])) == "é"


class Spaced:
    """Drops the space at the start of a text, as SentencePiece vocabularies do."""

    pieces = (" the", " cat", "s", "")

    def decode(self, ids: Sequence[int]) -> str:
        return "".join(self.pieces[i] for i in ids).removeprefix(" ")


@pytest.mark.parametrize(("prompt", "expected"), [([], "the cats the"), ([1], " the cats the")])
def test_spaces_at_the_start_of_a_piece_survive(prompt: list[int], expected: str) -> None:
    text = TextStream(Spaced().decode, prompt)
    assert "".join([*(text.feed(i) for i in (0, 1, 2, 3, 3, 0)), text.flush()]) == expected


def test_cost_per_token_does_not_grow_with_the_text() -> None:
    longest = 0

    def watched(ids: Sequence[int]) -> str:
        nonlocal longest
        longest = max(longest, len(ids))
        return decode(ids)

    text: Any = TextStream(watched, list(b"prompt"))
    for byte in "añ€😀".encode() * 50:
        text.feed(byte)
    assert longest <= len(b"prompt") + 4


@pytest.fixture(scope="module")
def bpe() -> Tokenizer:
    text = "the cat sät on the mät; the €uro cost 5 € 😀😀 and the cat sat again. " * 20
    return train_bpe(BpeTokenizer(kind="bpe", vocabulary=280), [Document(text, "here")])


@given(st.data())
def test_any_ids_of_a_trained_bpe(bpe: Tokenizer, data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.integers(0, bpe.size - 1), max_size=30))
    text = TextStream(bpe.decode)
    assert "".join([*(text.feed(i) for i in ids), text.flush()]) == bpe.decode(ids)


@pytest.fixture(scope="module")
def metaspace() -> tokenizers.Tokenizer:
    """Characters with byte fallback, as in Llama 2: a space is U+2581, and the first of a text is dropped."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *"abcdefghijklmnopqrstuvwxyz"]
    native = tokenizers.Tokenizer(
        tokenizers.models.BPE(
            {piece: index for index, piece in enumerate(pieces)}, [], byte_fallback=True, unk_token="<unk>"
        )
    )
    native.normalizer = tokenizers.normalizers.Sequence(
        [tokenizers.normalizers.Prepend("\u2581"), tokenizers.normalizers.Replace(" ", "\u2581")]
    )
    native.decoder = tokenizers.decoders.Sequence(
        [
            tokenizers.decoders.Replace("\u2581", " "),
            tokenizers.decoders.ByteFallback(),
            tokenizers.decoders.Fuse(),
            tokenizers.decoders.Strip(" ", 1, 0),
        ]
    )
    return native


@given(st.text("ab é€😀", min_size=1, max_size=12), st.data())
def test_a_metaspace_vocabulary_with_byte_fallback(
    metaspace: tokenizers.Tokenizer, text: str, data: st.DataObject
) -> None:
    ids = metaspace.encode(text).ids
    # A prompt is whole text, so it ends where a character does.
    ends = [n for n in range(len(ids)) if n == 0 or (text.startswith(metaspace.decode(ids[:n])) and ids[n - 1] > 256)]
    cut = data.draw(st.sampled_from(ends))
    stream = TextStream(metaspace.decode, ids[:cut])
    written = "".join([*(stream.feed(i) for i in ids[cut:]), stream.flush()])
    assert metaspace.decode(ids[:cut]) + written == text
