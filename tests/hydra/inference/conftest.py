"""Small stand-ins for a model and tokenizers, so that generation is tested against known behaviour."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hydra.attention import SeqMeta
from hydra.manifest import Manifest, from_tree

END = 256
VOCABULARY = 384

TINY: dict[str, Any] = {
    "schema": 1,
    "name": "tiny",
    "data": {"corpus": {"kind": "stdlib"}, "sequence": 64},
    "tokenizer": {"kind": "bytes"},
    "model": {
        "width": 64,
        "blocks": [
            {"mixer": {"kind": "softmax", "heads": 4, "kv_heads": 2}, "mlp": {"kind": "swiglu"}},
            {"mixer": {"kind": "softmax", "heads": 4, "kv_heads": 1, "window": 8}, "mlp": {"kind": "swiglu"}},
        ],
        "init_std": 0.3,
    },
    "optimizer": {"kind": "adamw", "lr": 1e-3},
    "schedule": {"kind": "constant"},
    "training": {"steps": 1, "batch": 1},
}


class BytesTokenizer:
    """UTF-8 bytes and one end_of_document id, like the real one."""

    size = 257
    end_of_document = END

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(i for i in ids if i < 256).decode(errors="replace")


class WordTokenizer:
    """Each id is a piece of a given list of byte strings; the last id ends a document."""

    def __init__(self, pieces: Sequence[bytes]) -> None:
        self.pieces = list(pieces)
        self.end_of_document = len(self.pieces)
        self.size = len(self.pieces) + 1

    def encode(self, text: str) -> list[int]:
        return [self.pieces.index(text.encode())]

    def decode(self, ids: Sequence[int]) -> str:
        return b"".join(self.pieces[i] for i in ids if i < len(self.pieces)).decode(errors="replace")


class Recurrent(nn.Module):
    """A recurrent network under the language model's contract; its cache is the hidden state and a length.

    Dropout makes a forgotten evaluation mode visible, and the checks of the metadata a wrong position.
    """

    def __init__(self, vocabulary: int = VOCABULARY, width: int = 24, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.embedding = nn.Parameter(torch.randn(vocabulary, width, generator=generator))
        self.mix = nn.Parameter(torch.randn(width, width, generator=generator) / width**0.5)
        self.head = nn.Parameter(torch.randn(width, vocabulary, generator=generator))
        self.drop = nn.Dropout(0.5)
        self.reads: list[int] = []

    def _hidden(self, tokens: Tensor, meta: SeqMeta, h: Tensor, start: int) -> Tensor:
        assert tokens.dtype == torch.int64
        assert meta.positions.dtype == meta.documents.dtype == torch.int32
        assert torch.equal(meta.tokens, tokens)
        assert tokens.shape == meta.positions.shape == meta.documents.shape
        if not meta.masked:
            expected = torch.arange(start, start + tokens.shape[1], dtype=torch.int32)
            real = meta.documents >= 0
            assert torch.equal(meta.positions[real], expected.expand_as(meta.positions)[real])
        self.reads.append(tokens.shape[1])
        states = []
        for t in range(tokens.shape[1]):
            h = torch.where((meta.positions[:, t] == 0)[:, None], torch.zeros_like(h), h)
            h = torch.tanh(h @ self.mix + self.embedding[tokens[:, t]])
            states.append(h)
        return torch.stack(states, 1)

    def _zero(self, batch: int) -> Tensor:
        return torch.zeros(batch, self.mix.shape[0])

    def logits(self, tokens: Tensor, meta: SeqMeta) -> Tensor:
        return (self.drop(self._hidden(tokens, meta, self._zero(tokens.shape[0]), 0)) @ self.head).float()

    def forward(self, tokens: Tensor, targets: Tensor, meta: SeqMeta) -> tuple[Tensor, Tensor]:
        logits = self.logits(tokens, meta)
        nats = nn.functional.cross_entropy(logits.transpose(1, 2), targets, ignore_index=-1, reduction="none")
        return nats.sum(), nats.sum(-1).detach()

    def init_state(self, batch: int, max_length: int) -> tuple[Tensor, int, int]:
        return self._zero(batch), 0, max_length

    def prefill(
        self, tokens: Tensor, meta: SeqMeta, state: tuple[Tensor, int, int]
    ) -> tuple[Tensor, tuple[Tensor, int, int]]:
        h, length, limit = state
        states = self._hidden(tokens, meta, h, length)
        length += tokens.shape[1]
        assert length <= limit <= meta.max_document
        return (self.drop(states[:, -1]) @ self.head).float(), (states[:, -1], length, limit)

    def decode(
        self, tokens: Tensor, meta: SeqMeta, state: tuple[Tensor, int, int]
    ) -> tuple[Tensor, tuple[Tensor, int, int]]:
        assert tokens.shape[1] == 1
        return self.prefill(tokens, meta, state)


class Scripted(Recurrent):
    """Writes given ids, whatever it reads; nothing else has any probability to speak of."""

    def __init__(self, script: Sequence[int], vocabulary: int = VOCABULARY) -> None:
        super().__init__(vocabulary)
        self.script = list(script)
        self.prompt = 0

    def prefill(
        self, tokens: Tensor, meta: SeqMeta, state: tuple[Tensor, int, int]
    ) -> tuple[Tensor, tuple[Tensor, int, int]]:
        logits, (h, length, limit) = super().prefill(tokens, meta, state)
        if state[1] == 0:
            self.prompt = length
        logits = torch.full_like(logits, -1e4)
        logits[:, self.script[length - self.prompt]] = 1e4
        return logits, (h, length, limit)


@pytest.fixture
def model() -> Recurrent:
    return Recurrent()


@pytest.fixture(scope="session")
def tokenizer() -> BytesTokenizer:
    return BytesTokenizer()


@pytest.fixture(scope="session")
def untouched() -> Recurrent:
    """A model that no test changes: hypothesis accepts fixtures only if they outlive its examples."""
    return Recurrent()


@pytest.fixture(scope="session")
def manifest() -> Manifest:
    """A real model of two small blocks, one of them with a sliding window."""
    return from_tree(TINY).runs[0].manifest


@pytest.fixture
def scripted() -> type[Scripted]:
    return Scripted


@pytest.fixture
def words() -> type[WordTokenizer]:
    return WordTokenizer
