"""The size of a manifest's model without building it, for the fairness of a comparison."""

from __future__ import annotations

from hydra.data import vocabulary_of
from hydra.manifest import Manifest
from hydra.manifest.comparison import Size
from hydra.model import accounting


def measured(manifest: Manifest) -> Size:
    """Parameters, parameters outside embeddings, and FLOPs per token (causal convention)."""
    vocabulary = vocabulary_of(manifest)
    counts = accounting.parameters(manifest.model, vocabulary)
    flops = accounting.flops_per_token(manifest.model, vocabulary, manifest.data.sequence)
    return Size(counts.total, counts.total - counts.embedding - counts.value_embedding, flops.causal)
