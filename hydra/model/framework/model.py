"""The language model: embedding, blocks, norm and head; from token ids to a loss, to logits, to the next token."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from hydra.attention import AttentionBackend, MixerState, SeqMeta
from hydra.errors import UsageError
from hydra.kernels import Facts
from hydra.layers.embedding import Embedding
from hydra.layers.head import Head
from hydra.model.framework.block import Block


class State(NamedTuple):
    """Decoding state of the whole model: one state per block, tensors only."""

    blocks: tuple[MixerState, ...]


class LanguageModel(nn.Module):
    """A stack of blocks between an embedding and a head (decoder-only, arXiv:1706.03762).

    Weights are fp32; activations have the type `compute`, which modules cast to themselves. The model knows nothing
    of ranks or devices: the trainer may compile, checkpoint or shard each of `blocks` from outside. Built by
    `hydra.model.build`.
    """

    def __init__(
        self,
        *,
        embedding: Embedding,
        embedding_norm: nn.Module | None,
        blocks: Sequence[Block],
        norm: nn.Module,
        head: Head,
        context: int,
        kinds: Sequence[str],
        facts: Facts,
        pins: Mapping[str, str],
    ) -> None:
        super().__init__()
        self.embedding = embedding
        self.embedding_norm = embedding_norm
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        self.head = head
        self.context, self.compute = context, facts.compute
        self.facts, self.pins = facts, dict(pins)
        self._kinds = tuple(kinds)

    @property
    def vocabulary(self) -> int:
        """Number of token ids, padding to a multiple of 128 included."""
        return self.embedding.weight.shape[0]

    @property
    def mixers(self) -> tuple[AttentionBackend, ...]:
        """The mixer of every block, in order."""
        return tuple(block.mixer for block in self.blocks if isinstance(block.mixer, AttentionBackend))

    def kinds(self) -> list[str]:
        """One name per block; blocks of one name are the same code on the same shapes and share a compiled graph."""
        return list(self._kinds)

    def regions(self) -> list[tuple[str, nn.Module]]:
        """Every module to compile on its own, with its kind: the norms outside the blocks, and the blocks."""
        norms = [("norm", norm) for norm in (self.embedding_norm, self.norm) if norm is not None]
        return [*norms, *zip(self._kinds, self.blocks, strict=True)]

    def forward(self, tokens: Tensor, targets: Tensor, meta: SeqMeta) -> tuple[Tensor, Tensor]:
        """The training loss.

        tokens, targets int64 [B, T], target -1 = does not count. Returns the sum of nats over all counting targets
        (differentiable scalar, fp32) and the same per row [B] (not differentiable). The caller divides, because only
        it knows the number of targets of the global batch.
        """
        hidden = self._hidden(tokens, meta)
        total, losses = self.head(hidden.flatten(0, 1), self._table(), targets.flatten())
        return total, losses.view(targets.shape).sum(dim=1)

    def logits(self, tokens: Tensor, meta: SeqMeta) -> Tensor:
        """tokens [B, T] -> logits fp32 [B, T, V] of each next token."""
        return self.head.logits(self._hidden(tokens, meta), self._table())

    def init_state(self, batch: int, max_length: int) -> State:
        """An empty state for `batch` rows of at most `max_length` tokens, prompt included.

        Raises UsageError when that is longer than the model's context.
        """
        if max_length > self.context:
            raise UsageError(
                f"a state for {max_length} tokens was asked for, and the model's context is {self.context}",
                why="the model never saw longer distances, and what it writes beyond them is noise",
                fix=f"shorten prompt and continuation to {self.context} tokens together",
                example=f"model.init_state(batch={batch}, max_length={self.context})",
            )
        device = self.embedding.weight.device
        return State(tuple(mixer.init_state(batch, max_length, device, self.compute) for mixer in self.mixers))

    def prefill(self, tokens: Tensor, meta: SeqMeta, state: State) -> tuple[Tensor, State]:
        """Read tokens [B, T] after those already in the state.

        Returns logits fp32 [B, V] after the last token of each row that is not padding, and the new state; the given
        one is consumed. A row of padding only keeps its state and its logits mean nothing.
        """
        return self._continued(tokens, meta, state, "prefill")

    def decode(self, tokens: Tensor, meta: SeqMeta, state: State) -> tuple[Tensor, State]:
        """Read one token per row [B, 1]; as `prefill`, with shapes that never change."""
        return self._continued(tokens, meta, state, "decode")

    def derivations(self) -> Mapping[str, Callable[[SeqMeta], Any]]:
        """All that the mixers derive from a batch, equal keys once."""
        return {key: make for mixer in self.mixers for key, make in mixer.derivations().items()}

    def _table(self) -> Tensor:
        """The head's weight [V, D]: its own, or the embedding's when tied."""
        return self.embedding.weight if self.head.weight is None else self.head.weight

    def _embedded(self, tokens: Tensor) -> Tensor:
        x: Tensor = self.embedding(tokens, self.compute)
        return x if self.embedding_norm is None else self.embedding_norm(x)

    def _hidden(self, tokens: Tensor, meta: SeqMeta) -> Tensor:
        """Final hidden states [B, T, D], normalised."""
        if tokens.shape[1] > self.context:
            raise UsageError(
                f"rows of {tokens.shape[1]} tokens were given to a model with a context of {self.context}",
                why="the model is defined on positions up to its context",
                fix="shorten the rows, or set model.context",
                example=f"model: {{context: {tokens.shape[1]}}}",
            )
        meta = meta.prepared(self.derivations())
        x = self._embedded(tokens)
        for block in self.blocks:
            x = block(x, meta)
        final: Tensor = self.norm(x)
        return final

    def _continued(self, tokens: Tensor, meta: SeqMeta, state: State, step: str) -> tuple[Tensor, State]:
        meta = meta.prepared({key: make for key, make in self.derivations().items() if key.startswith("angles/")})
        x = self._embedded(tokens)
        states = []
        for block, before in zip(self.blocks, state.blocks, strict=True):
            x, after = getattr(block, step)(x, meta, before)
            states.append(after)
        last = ((meta.documents >= 0).sum(dim=1) - 1).clamp_min(0)
        final = x[torch.arange(x.shape[0], device=x.device), last]
        return self.head.logits(self.norm(final), self._table()), State(tuple(states))
