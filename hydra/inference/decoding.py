"""What generation asks of a model and a tokenizer, and the two ways to step through a sequence."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from hydra.attention import SeqMeta


class Tokenizer(Protocol):
    """The part of a tokenizer that generation needs."""

    @property
    def size(self) -> int:
        """Number of ids that stand for something; larger ones pad the vocabulary."""

    @property
    def end_of_document(self) -> int:
        """The id at both ends of a document."""

    def encode(self, text: str) -> list[int]:
        """Ids of a text, without end_of_document."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of ids; bytes that are no UTF-8 become U+FFFD."""


class LanguageModel(Protocol):
    """The part of a language model that generation and scoring need; `hydra.model.LanguageModel` has it.

    The state of the cache is the model's own affair and is only handed back to it.
    """

    #: `(tokens [B,T], targets [B,T], meta) -> (nats, nats of each row [B])`, both fp32; targets of -1 are ignored.
    __call__: Callable[..., Any]

    def parameters(self) -> Iterator[nn.Parameter]:
        """The weights."""

    def modules(self) -> Iterator[nn.Module]:
        """The model and all modules in it."""

    def logits(self, tokens: Tensor, meta: SeqMeta) -> Tensor:
        """`[B, T]` -> fp32 `[B, T, V]`."""

    def init_state(self, batch: int, max_length: int) -> Any:
        """An empty cache."""

    def prefill(self, tokens: Tensor, meta: SeqMeta, state: Any) -> tuple[Tensor, Any]:
        """`[B, T]` -> logits of the last position, fp32 `[B, V]`, and the cache with these tokens."""

    def decode(self, tokens: Tensor, meta: SeqMeta, state: Any) -> tuple[Tensor, Any]:
        """The same for one token per row, `[B, 1]`."""


class Stepper(Protocol):
    """Gives the logits after each new token of one sequence."""

    def first(self, ids: Sequence[int]) -> Tensor:
        """Logits `[1, V]` after a prompt."""

    def next(self, token: int) -> Tensor:
        """Logits `[1, V]` after one more token."""


class Cached:
    """Reads the prompt once and each new token once, with the model's cache for at most `limit` tokens."""

    def __init__(self, model: LanguageModel, limit: int) -> None:
        self._model, self._limit, self._length = model, limit, 0
        self._state = model.init_state(1, limit)

    def first(self, ids: Sequence[int]) -> Tensor:
        """Logits `[1, V]` after the prompt."""
        return self._advance(self._model.prefill, ids)

    def next(self, token: int) -> Tensor:
        """Logits `[1, V]` after one more token."""
        return self._advance(self._model.decode, [token])

    def _advance(self, read: Callable[[Tensor, SeqMeta, Any], tuple[Tensor, Any]], ids: Sequence[int]) -> Tensor:
        tokens, meta = one_document(ids, self._length, self._limit, device_of(self._model))
        logits, self._state = read(tokens, meta, self._state)
        self._length += len(ids)
        return logits


class Uncached:
    """Reads the whole sequence again for each token: slow, and the reference that the cache is held against."""

    def __init__(self, model: LanguageModel, limit: int) -> None:
        self._model, self._limit = model, limit
        self._ids: list[int] = []

    def first(self, ids: Sequence[int]) -> Tensor:
        """Logits `[1, V]` after the prompt."""
        self._ids = list(ids)
        tokens, meta = one_document(self._ids, 0, self._limit, device_of(self._model))
        return self._model.logits(tokens, meta)[:, -1]

    def next(self, token: int) -> Tensor:
        """Logits `[1, V]` after one more token."""
        return self.first([*self._ids, token])


def one_document(ids: Sequence[int], start: int, limit: int, device: torch.device) -> tuple[Tensor, SeqMeta]:
    """Consecutive tokens of one document, from position `start` on, as `[1, T]` with their metadata."""
    tokens = torch.tensor([list(ids)], dtype=torch.int64, device=device)
    positions = torch.arange(start, start + len(ids), dtype=torch.int32, device=device).unsqueeze(0)
    documents = torch.zeros_like(positions)
    return tokens, SeqMeta(positions=positions, documents=documents, tokens=tokens, masked=False, max_document=limit)


def device_of(model: LanguageModel) -> torch.device:
    """Where the model's weights are."""
    return next(model.parameters()).device


@contextmanager
def evaluating(model: LanguageModel) -> Iterator[None]:
    """Evaluation mode and no gradients inside; afterwards every module is in the mode it was in before.

    `no_grad` and not `inference_mode`: what a module caches here (rotary tables, compiled graphs) is used by training
    later, and an inference tensor must not meet autograd.
    """
    before = [(module, module.training) for module in model.modules()]
    try:
        for module, _ in before:
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for module, training in before:
            module.training = training
