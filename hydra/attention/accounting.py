"""What every mixer tells about its size, in closed form and without torch."""

from __future__ import annotations

import importlib
from typing import Any, NamedTuple

from hydra.manifest.section import Kind

#: Where each kind's closed forms live: `parameters`, `attended`, `reach`, `state_bytes`.
HOMES = {"softmax": "hydra.attention.backends.softmax.accounting"}


class MixerParameters(NamedTuple):
    """Parameters of one mixer by what they do."""

    projections: int  # in matrix products, each used once per token
    lookups: int  # in tables of which a token reads one row
    norms: int  # scales


def parameters(config: Kind, width: int, vocabulary: int) -> MixerParameters:
    """Parameters of a mixer in a model of this width and vocabulary."""
    counted: MixerParameters = _forms(config).parameters(config, width, vocabulary)
    return counted


def attended(config: Kind) -> int:
    """Query heads times head width: what a (query, key) pair costs; 0 for mixers without pairs."""
    count: int = _forms(config).attended(config)
    return count


def reach(config: Kind) -> int | None:
    """Tokens a query sees at most; None for the whole sequence."""
    window: int | None = _forms(config).reach(config)
    return window


def _forms(config: Kind) -> Any:
    return importlib.import_module(HOMES[config.kind])
