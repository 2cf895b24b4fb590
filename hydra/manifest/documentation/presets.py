"""The table of model presets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from hydra.manifest.identity import resolved
from hydra.manifest.loading import from_tree
from hydra.manifest.lowering.expand import preset_table


def preset_rows() -> Iterator[str]:
    """One row of a Markdown table per preset, in the order of the presets' own table."""
    yield "| preset | width | blocks | heads / KV heads | head width | feed-forward | head |"
    yield "|---|---|---|---|---|---|---|"
    for name in preset_table():
        model = _model(name)
        block = model["blocks"][0]
        mixer, mlp = block["mixer"], block["mlp"]
        cells = (
            f"`{name}`",
            model["width"],
            len(model["blocks"]),
            f"{mixer['heads']} / {mixer['kv_heads']}",
            mixer["head_width"],
            f"{mlp['kind']} {mlp['hidden']}",
            "tied" if model["head"]["tied"] else "untied",
        )
        yield "| " + " | ".join(str(cell) for cell in cells) + " |"


def _model(preset: str) -> dict[str, Any]:
    """A preset as a run would see it."""
    tree = {
        "schema": 1,
        "name": "preset",
        "data": {"corpus": {"kind": "stdlib"}, "sequence": 1024},
        "tokenizer": {"kind": "bytes"},
        "model": {"preset": preset},
        "optimizer": {"kind": "adamw", "lr": 1e-3},
        "schedule": {"kind": "constant"},
        "training": {"steps": 1, "batch": 1},
    }
    model: dict[str, Any] = resolved(from_tree(tree).runs[0].manifest)["model"]
    return model
