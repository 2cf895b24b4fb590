"""Tokenizers: exact round trips, exact bytes per id, and a special token that no text can spell."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.data import Tokenizer, load_tokenizer
from hydra.data.config import BpeTokenizer
from hydra.data.document import Document
from hydra.data.tokenizers.bpe import HOSTILE, train_bpe
from hydra.data.tokenizers.bytes import ByteTokenizer
from hydra.data.tokenizers.huggingface import JsonTokenizer
from hydra.data.tokenizers.ids import IdTokenizer
from hydra.errors import DataError

SOURCES = [
    Document(path.read_text(encoding="utf-8"), str(path)) for path in sorted(Path(json.__file__).parent.glob("*.py"))
]
BPE = train_bpe(BpeTokenizer(kind="bpe", vocabulary=600), SOURCES)


EXACT: dict[str, Tokenizer] = {"bytes": ByteTokenizer(), "bpe": BPE}
TEXT = st.text(st.characters(codec="utf-8"), max_size=60) | st.sampled_from(HOSTILE)
exact = pytest.mark.parametrize("tokenizer", EXACT.values(), ids=EXACT)


@exact
@given(text=TEXT)
def test_any_text_comes_back_and_its_bytes_are_counted(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.token_bytes[np.array(ids, dtype=np.int64)].sum() == len(text.encode("utf-8"))
    assert tokenizer.end_of_document not in ids
    assert all(0 <= index < tokenizer.size for index in ids)


@exact
def test_each_id_alone_has_the_bytes_that_are_counted(tokenizer: Tokenizer) -> None:
    """Bytes of an id, found without the counts: between two ASCII neighbours, U+FFFD aside."""
    for index in range(tokenizer.size):
        text = tokenizer.decode([index])
        if "\ufffd" not in text:
            assert tokenizer.token_bytes[index] == len(text.encode("utf-8")), (index, text)


@pytest.mark.parametrize("tokenizer", [*EXACT.values(), IdTokenizer(1000)])
def test_saved_is_the_same_tokenizer(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokenizer.save(tmp_path / "tokenizer")
    loaded = load_tokenizer(tmp_path / "tokenizer")
    facts = ("digest", "size", "vocabulary", "end_of_document")
    assert [getattr(loaded, fact) for fact in facts] == [getattr(tokenizer, fact) for fact in facts]
    assert np.array_equal(loaded.token_bytes, tokenizer.token_bytes)
    text = "1 2 3" if isinstance(tokenizer, IdTokenizer) else "the cat sat"
    assert loaded.encode(text) == tokenizer.encode(text)


@pytest.mark.parametrize("tokenizer", [*EXACT.values(), IdTokenizer(1000)])
def test_padding_and_specials(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocabulary % 128 == 0
    assert 0 <= tokenizer.vocabulary - tokenizer.size < 128
    assert tokenizer.token_bytes.shape == (tokenizer.vocabulary,)
    assert tokenizer.token_bytes[tokenizer.end_of_document] == 0
    assert not tokenizer.token_bytes[tokenizer.size :].any()
    assert tokenizer.decode([tokenizer.end_of_document, tokenizer.vocabulary - 1]) == ""
    for outside in (-1, tokenizer.vocabulary):
        with pytest.raises(DataError, match=f"id {outside} is not below"):
            tokenizer.decode([outside])


def test_bytes_cut_short_become_replacement_characters() -> None:
    tokenizer = ByteTokenizer()
    assert tokenizer.decode(tokenizer.encode("\u00e9")[:1]) == "\ufffd"


def test_ids_are_numbers() -> None:
    tokenizer = IdTokenizer(100)
    assert tokenizer.encode(" 1 2\n98 ") == [1, 2, 98]
    assert tokenizer.decode([1, 2, 98, 99]) == "1 2 98"
    assert not tokenizer.token_bytes.any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 x", "'x' is not an id"),
        ("1\n2 100", "line 2 .*'100' is not an id"),
        ("-1", "'-1' is not an id"),
        ("99", "'99' is the id that ends a document"),
        ("1_0", "'1_0' is not an id"),
        ("9" * 5000, "'9999"),
    ],
)
def test_ids_that_are_none_are_refused(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        IdTokenizer(100).encode(text)


@exact
def test_a_lone_surrogate_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(DataError, match=r"character 1 is the lone surrogate U\+D800"):
        tokenizer.encode("a\ud800b")


def test_training_is_a_function_of_the_text() -> None:
    again = train_bpe(BpeTokenizer(kind="bpe", vocabulary=600), SOURCES)
    assert again.digest == BPE.digest
    program = (
        "import json; from pathlib import Path; from hydra.data.config import BpeTokenizer\n"
        "from hydra.data.document import Document; from hydra.data.tokenizers.bpe import train_bpe\n"
        "files = sorted(Path(json.__file__).parent.glob('*.py'))\n"
        "print(train_bpe(BpeTokenizer(kind='bpe', vocabulary=600),"
        " [Document(p.read_text(encoding='utf-8'), '') for p in files]).digest)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == BPE.digest


def test_training_reads_no_more_than_the_sample() -> None:
    read: list[int] = []

    def documents() -> Any:
        for number in range(100):
            read.append(number)
            yield Document("\u00e9" * 500 + f" abcdefgh{number} " * 50, "x")

    train_bpe(BpeTokenizer(kind="bpe", vocabulary=260, sample_bytes=2501), documents())
    assert len(read) == 2


def test_a_corpus_too_small_for_the_vocabulary_is_refused() -> None:
    with pytest.raises(
        DataError, match=r"tokenizer.vocabulary=5,000, but the training text has only \d+ ids"
    ) as caught:
        train_bpe(BpeTokenizer(kind="bpe", vocabulary=5000), [Document("hello world", "x")])
    assert "--set tokenizer.vocabulary=" in caught.value.example


@pytest.mark.parametrize("damage", ["missing", "edited", "not json", "no kind", "other digest"])
def test_a_damaged_saved_tokenizer_is_refused(damage: str, tmp_path: Path) -> None:
    BPE.save(tmp_path)
    identity = tmp_path / "hydra-tokenizer.json"
    saved = json.loads(identity.read_text())
    if damage == "missing":
        (tmp_path / "tokenizer.json").unlink()
    elif damage == "edited":
        file = tmp_path / "tokenizer.json"
        file.write_text(file.read_text().replace('"special": true', '"special": false, "lstrip": true'))
    elif damage == "not json":
        identity.write_text("{")
    elif damage == "no kind":
        identity.write_text(json.dumps({**saved, "kind": "words"}))
    else:
        identity.write_text(json.dumps({**saved, "digest": "0" * 64}))
    with pytest.raises(DataError):
        load_tokenizer(tmp_path)


def test_a_saved_tokenizer_json_is_the_same_tokenizer_when_named_in_a_manifest(tmp_path: Path) -> None:
    BPE.save(tmp_path)
    text = (tmp_path / "tokenizer.json").read_text(encoding="utf-8")
    assert JsonTokenizer(text, "<|endoftext|>", "file").digest == BPE.digest


def test_the_special_token_spelled_out_stays_text() -> None:
    ids = BPE.encode("a<|endoftext|>b")
    assert BPE.end_of_document not in ids
    assert len(ids) > 3
    assert BPE.decode(ids) == "a<|endoftext|>b"
