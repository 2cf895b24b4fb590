"""Drawing the next token: temperature, top-k, top-p, and draws that depend on nothing but what they are for.

Every draw is a function of (seed, prompt index, token position), computed by a counter-based generator. So it makes no
difference which other prompts share a batch, on which device the model is, or what was drawn before; and no global
random state is read or moved, so a training run with and without samples trains equal bits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from hydra.errors import HydraError, UsageError

_WORD = 2**64


class NonFiniteLogits(HydraError):
    """The model's scores of the next token hold NaN or an infinity, so there is nothing to draw from."""


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. Raises UsageError for settings that cannot mean anything."""

    temperature: float = 0.8
    """Divides the logits; 0 takes the most likely token, the lowest id among equals."""
    top_k: int = 40
    """Candidates kept, the most likely first; 0 keeps all."""
    top_p: float = 1.0
    """Smallest set of candidates with at least this probability (nucleus sampling, arXiv:1904.09751); 1 keeps all."""
    seed: int = 0
    """Seed of the draws, any integer; taken modulo 2^64."""

    def __post_init__(self) -> None:
        if not (math.isfinite(self.temperature) and self.temperature >= 0):
            raise _setting("temperature", self.temperature, "a finite number that is not negative", "--temperature 0.8")
        if self.top_k < 0:
            raise _setting("top_k", self.top_k, "a count, 0 for all candidates", "--top-k 40")
        if not 0 < self.top_p <= 1:
            raise _setting("top_p", self.top_p, "a probability above 0 and at most 1", "--top-p 0.95")


class Draw(NamedTuple):
    """What one random number is for: which prompt, and which of its new tokens, both counted from 0."""

    prompt: int
    position: int


def uniform(seed: int, draw: Draw) -> float:
    """The random number of a draw, in [0, 1), with 53 bits.

    Philox (Salmon et al., 2011): the key is (seed, prompt) and the counter starts at the position, so any number is
    had at once without those before it.
    """
    key = np.array([seed % _WORD, draw.prompt % _WORD], dtype=np.uint64)
    counter = np.array([0, draw.position, 0, 0], dtype=np.uint64)
    return int(np.random.Philox(key=key, counter=counter).random_raw() >> 11) * 2.0**-53


def sample(logits: Tensor, sampling: Sampling, draws: Sequence[Draw], forbidden: Tensor | None = None) -> Tensor:
    """The next token of each row: logits `[B, V]` -> ids int64 `[B]` on the host.

    `draws` names the random number of each row; `forbidden` (bool `[V]`) marks ids that are never chosen, such as the
    padding of the vocabulary. Top-k is applied before top-p, and top-p counts the probability that top-k left, as users
    of the transformers library expect. Rows do not influence each other.

    Ranking runs where the logits are; the sums run on the host in fp64, because a cumulative sum on CUDA is not
    repeatable in bits. Raises NonFiniteLogits if an allowed id has a score that is NaN or infinite.
    """
    if len(draws) != logits.shape[0]:
        raise AssertionError(f"{logits.shape[0]} rows of logits need as many draws, got {len(draws)}")
    _require_finite(logits, forbidden)
    allowed = logits if forbidden is None else logits.masked_fill(forbidden, -math.inf)
    if sampling.temperature == 0:
        return allowed.argmax(dim=-1).cpu()
    ranked, order = torch.sort(allowed, dim=-1, descending=True, stable=True)
    kept = min(sampling.top_k, logits.shape[-1]) or logits.shape[-1]
    weights = _weights(ranked[:, :kept].cpu(), sampling)
    numbers = torch.tensor([[uniform(sampling.seed, draw)] for draw in draws], dtype=torch.float64)
    return order[:, :kept].cpu().gather(-1, _inverse(weights, numbers)).squeeze(-1)


def _weights(ranked: Tensor, sampling: Sampling) -> Tensor:
    """Unnormalised probabilities in fp64 of candidates in falling order `[B, K]`; 0 where top-p cuts."""
    ranked = ranked.double()
    # The difference comes first: a tiny temperature then gives 0 and -inf, never inf - inf.
    weights = torch.exp((ranked - ranked[:, :1]) / sampling.temperature)
    if sampling.top_p == 1:
        return weights
    cumulative = weights.cumsum(-1)
    before = torch.nn.functional.pad(cumulative[:, :-1], (1, 0))
    return weights.masked_fill(before >= sampling.top_p * cumulative[:, -1:], 0.0)


def _inverse(weights: Tensor, numbers: Tensor) -> Tensor:
    """The first place whose cumulative weight exceeds a number's share of the total: `[B, K]`, `[B, 1]` -> `[B, 1]`."""
    cumulative = weights.cumsum(-1)
    places = torch.searchsorted(cumulative, numbers * cumulative[:, -1:], right=True)
    # Rounding may lift a number close to 1 onto the total; the last candidate that has any weight is then meant.
    return torch.minimum(places, (weights > 0).sum(-1, keepdim=True) - 1)


def _require_finite(logits: Tensor, forbidden: Tensor | None) -> None:
    wrong = ~torch.isfinite(logits)
    if forbidden is not None:
        if bool(forbidden.all()):
            raise AssertionError("every id is forbidden")
        wrong &= ~forbidden
    counts = wrong.sum(-1).tolist()
    for row, count in enumerate(counts):
        if count:
            raise NonFiniteLogits(
                f"{count} of {logits.shape[-1]} logits of row {row} are NaN or infinite",
                why="no probability follows from them; the weights most likely hold NaN since training diverged",
                fix="use an earlier checkpoint, and look at loss and gradient norm before that step",
                example="hydra checkpoint list RUN",
            )


def _setting(name: str, value: object, wanted: str, example: str) -> UsageError:
    return UsageError(
        f"{name} is {value!r}",
        why=f"it has to be {wanted}",
        fix=f"give {name} such a value",
        example=f"hydra generate RUN {example}",
    )
