"""Parameters and FLOPs of a model in closed form, from its configuration alone.

These are the numbers behind every MFU and every comparison, so tests hold them equal to counted modules and counted
operations. Torch-free.
"""

from __future__ import annotations

from dataclasses import dataclass

from hydra.attention import accounting as mixers
from hydra.layers.config import MlpConfig, NormConfig
from hydra.manifest.section import Kind
from hydra.manifest.sections import Model

_GATED = ("swiglu", "geglu")


@dataclass(frozen=True)
class Parameters:
    """Parameters by role; the roles are disjoint and sum to `total`."""

    embedding: int  # token table; read by lookup, and by the head's product too when tied
    value_embedding: int  # per-layer tables of value embeddings, lookups only
    projections: int  # matrices of the blocks
    head: int  # the head's own matrix, 0 when tied
    norms: int  # scales

    @property
    def total(self) -> int:
        """All stored parameters, each once."""
        return self.embedding + self.value_embedding + self.projections + self.head + self.norms

    @property
    def matmul(self) -> int:
        """Parameters a token is multiplied with: the blocks' matrices and the head's, tied or not. The N of `6 N`."""
        return self.projections + (self.head or self.embedding)


@dataclass(frozen=True)
class Flops:
    """FLOPs of training on one token, forward and backward, in three conventions; recomputation never counts."""

    full: int  # 6 N + 12 T sum(H d): all pairs of the sequence, as most published figures count
    causal: int  # 6 N + 6 T sum(H d): half of them, as causal attention needs
    windowed: float  # 6 N + 12 sum(H d * mean pairs): exactly the pairs inside causal windows


def parameters(config: Model, vocabulary: int) -> Parameters:
    """Parameters of a model with a vocabulary of this many (padded) ids."""
    table = vocabulary * config.width
    counted = [mixers.parameters(block.mixer, config.width, vocabulary) for block in config.blocks]
    norms = _norm(config.norm, config.width) * (2 if config.embedding_norm else 1)
    return Parameters(
        embedding=table,
        value_embedding=sum(mixer.lookups for mixer in counted),
        projections=sum(mixer.projections for mixer in counted)
        + sum(_mlp(block.mlp, config.width) for block in config.blocks),
        head=0 if config.head.tied else table,
        norms=norms
        + sum(mixer.norms for mixer in counted)
        + sum(2 * _norm(block.norm, config.width) for block in config.blocks),
    )


def flops_per_token(config: Model, vocabulary: int, sequence: int) -> Flops:
    """FLOPs per trained token at this sequence length.

    `full` and `causal` are the two conventions of MFU and take the whole sequence for every attention layer, windows
    or not, so that figures of different trainers compare; `windowed` says what the windows leave of it. Sums run over
    the attention layers, H query heads of width d each.
    """
    dense = 6 * parameters(config, vocabulary).matmul
    widths = [mixers.attended(block.mixer) for block in config.blocks]
    pairs = [mean_pairs(sequence, mixers.reach(block.mixer)) for block in config.blocks]
    return Flops(
        full=dense + 12 * sequence * sum(widths),
        causal=dense + 6 * sequence * sum(widths),
        windowed=dense + 12 * sum(width * seen for width, seen in zip(widths, pairs, strict=True)),
    )


def mean_pairs(sequence: int, window: int | None) -> float:
    """Keys a query sees on average: the mean of `min(t, window)` over t = 1 ... sequence."""
    reach = sequence if window is None else min(window, sequence)
    return (reach * (reach + 1) / 2 + (sequence - reach) * reach) / sequence


def _mlp(config: Kind, width: int) -> int:
    assert isinstance(config, MlpConfig)
    return (3 if config.kind in _GATED else 2) * width * config.hidden


def _norm(config: Kind, width: int) -> int:
    assert isinstance(config, NormConfig)
    return width if config.weight else 0
