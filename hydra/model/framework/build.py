"""From a manifest's model section to modules: the one place where a description becomes a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch

from hydra.attention import MixerSpec, backend
from hydra.kernels import Facts
from hydra.kernels.linear_cross_entropy import choose
from hydra.layers.config import MlpConfig, NormConfig
from hydra.layers.embedding import Embedding
from hydra.layers.head import Head
from hydra.layers.mlp import mlp
from hydra.layers.norm import Norm
from hydra.manifest.sections import Block as BlockConfig
from hydra.manifest.sections import Model
from hydra.model.framework.block import Block
from hydra.model.framework.initialisation import initialise
from hydra.model.framework.model import LanguageModel
from hydra.platform import capabilities


def build(
    config: Model,
    vocabulary: int,
    *,
    seed: int,
    device: str | torch.device,
    compute: torch.dtype,
    deterministic: bool = False,
    masked: bool = True,
    pins: Mapping[str, str] | None = None,
) -> LanguageModel:
    """The model of a manifest with its first weights (see `initialisation`) on a device.

    `vocabulary` is the padded number of token ids. `compute` is the type of activations. `deterministic` restricts
    the choice of implementations to those that repeat in bits; `masked` says that batches will carry several
    documents per row; `pins` names implementations by op (`kernels.pin`). Raises Unsupported when an op has no
    acceptable implementation on the device.
    """
    facts = Facts.of(capabilities(device), compute, deterministic=deterministic, masked=masked)
    model = assemble(config, vocabulary, facts, pins or {})
    model.to_empty(device=device)
    initialise(model, seed)
    return model


def assemble(config: Model, vocabulary: int, facts: Facts, pins: Mapping[str, str]) -> LanguageModel:
    """The model without storage (on torch's meta device), every implementation chosen."""
    output_std = config.init_std / math.sqrt(2 * len(config.blocks))

    def block(part: BlockConfig) -> Block:
        spec = MixerSpec(part.mixer, config.width, config.context, vocabulary, config.init_std, output_std, facts, pins)
        assert isinstance(part.mlp, MlpConfig)
        return Block(
            norm(part.norm),
            backend(spec),
            norm(part.norm),
            mlp(part.mlp, config.width, config.init_std, output_std),
        )

    def norm(part: object) -> Norm:
        assert isinstance(part, NormConfig)
        return Norm(part, config.width)

    with torch.device("meta"):
        return LanguageModel(
            embedding=Embedding(vocabulary, config.width, config.init_std),
            embedding_norm=norm(config.norm) if config.embedding_norm else None,
            blocks=[block(part) for part in config.blocks],
            norm=norm(config.norm),
            head=Head(
                vocabulary,
                config.width,
                tied=config.head.tied,
                softcap=config.head.softcap,
                std=config.init_std,
                choice=choose(vocabulary, facts, pins),
                compute=facts.compute,
            ),
            context=config.context,
            kinds=kinds(config.blocks),
            facts=facts,
            pins=pins,
        )


def kinds(blocks: Sequence[BlockConfig]) -> list[str]:
    """A name per block, equal where everything but the block's id is equal: `softmax.swiglu`, `softmax.swiglu-2`."""
    seen: dict[tuple[object, ...], str] = {}
    counts: dict[str, int] = {}
    names = []
    for block in blocks:
        shape = (block.mixer, block.mlp, block.norm)
        if shape not in seen:
            name = f"{block.mixer.kind}.{block.mlp.kind}"
            counts[name] = counts.get(name, 0) + 1
            seen[shape] = name if counts[name] == 1 else f"{name}-{counts[name]}"
        names.append(seen[shape])
    return names
