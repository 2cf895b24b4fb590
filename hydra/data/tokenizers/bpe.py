"""Byte-level BPE trained on a corpus (Sennrich et al., arXiv:1508.07909; over bytes as in GPT-2)."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator

import tokenizers

from hydra.data.config import BpeTokenizer
from hydra.data.document import Document
from hydra.data.tokenizers.huggingface import JsonTokenizer
from hydra.errors import DataError

logger = logging.getLogger(__name__)

END_OF_DOCUMENT = "<|endoftext|>"

#: Text that breaks careless tokenizers: the special token spelled out, every kind of break and space, combining
#: marks, joiners, both directions, the ends of the planes, and nothing at all.
HOSTILE = (
    "",
    "<|endoftext|> <|endoftext|><|endoftext|>",
    "\x00\x01\x1f\x7f\x80\x9f\xa0\xad\u200b\u200d\u2028\u2029\ufeff\ufffd\uffff",
    " \t\r\n\x0b\x0c   \u3000\n\n\r\r\n ",
    "e\u0301 \u00e9 \u1e9b\u0323 \ufb01 \u212b \u0130i",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f3f4\U000e0067\U000e007f \u202eabc\u202c \U0010ffff\U00010000",
    "a" * 300 + "\u4e2d\u6587\u0e44\u0e17\u0e22\u0627\u0644 def f(x):\n\treturn x  # 12345678901234567890",
)


def train_bpe(config: BpeTokenizer, documents: Iterable[Document]) -> JsonTokenizer:
    """Learn a tokenizer from the first `config.sample_bytes` of the documents, whole ones but for the last.

    The same documents give the same tokenizer. Raises DataError when they hold too little text for that many ids.
    """
    started = time.monotonic()
    native = tokenizers.Tokenizer(tokenizers.models.BPE())
    native.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    native.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=config.vocabulary,
        special_tokens=[END_OF_DOCUMENT],
        initial_alphabet=sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    native.train_from_iterator(_sample(documents, config.sample_bytes), trainer=trainer)
    found = native.get_vocab_size()
    if found < config.vocabulary:
        raise DataError(
            f"tokenizer.vocabulary={config.vocabulary:,}, but the training text has only {found:,} ids to give",
            why="no pair of ids is left that could be merged",
            fix=f"ask for at most {found:,} ids, or bring more text",
            example=f"--set tokenizer.vocabulary={found}",
        )
    tokenizer = JsonTokenizer(native.to_str(), END_OF_DOCUMENT, "the trained tokenizer")
    _require_round_trip(tokenizer)
    logger.info("trained a tokenizer of %s ids in %.1f s", f"{found:,}", time.monotonic() - started)
    return tokenizer


def _sample(documents: Iterable[Document], limit: int) -> Iterator[str]:
    remaining = limit
    for document in documents:
        encoded = document.encoded()[:remaining]
        remaining -= len(encoded)
        # The limit may fall inside a character; that one is left out of the sample.
        yield encoded.decode("utf-8", errors="ignore")
        if not remaining:
            return


def _require_round_trip(tokenizer: JsonTokenizer) -> None:
    for text in HOSTILE:
        ids = tokenizer.encode(text)
        if tokenizer.decode(ids) != text or int(tokenizer.token_bytes[ids].sum()) != len(text.encode("utf-8")):
            raise DataError(
                f"the trained tokenizer does not give {text!r} back",
                why="a byte-level tokenizer must be able to spell every text",
                fix="report this together with the version of the tokenizers library",
                example=f"tokenizers {tokenizers.__version__}",
            )
