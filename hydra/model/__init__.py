"""The model: blocks and stacks composed from a manifest, with exact accounting of parameters and FLOPs.

It reads as a paper's appendix: nothing in it knows of devices, ranks or files.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from hydra.model.framework import accounting, presets
    from hydra.model.framework.build import assemble, build
    from hydra.model.framework.initialisation import fill
    from hydra.model.framework.inputs import IGNORED, model_inputs, targets_of
    from hydra.model.framework.model import LanguageModel, State

_HOMES = {
    "accounting": "framework.accounting",
    "assemble": "framework.build",
    "build": "framework.build",
    "fill": "framework.initialisation",
    "IGNORED": "framework.inputs",
    "LanguageModel": "framework.model",
    "model_inputs": "framework.inputs",
    "presets": "framework.presets",
    "State": "framework.model",
    "targets_of": "framework.inputs",
}


def __getattr__(name: str) -> object:
    """The public names, loaded when first used: reading a manifest must not pull in torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOMES[name]}")
    return module if name in ("accounting", "presets") else getattr(module, name)


__all__ = [
    "IGNORED",
    "LanguageModel",
    "State",
    "accounting",
    "assemble",
    "build",
    "fill",
    "model_inputs",
    "presets",
    "targets_of",
]
