"""Manifests over small corpora in a temporary folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydra.manifest import Manifest, from_tree

MakeManifest = Callable[..., Manifest]


@pytest.fixture
def make_manifest(tmp_path: Path) -> MakeManifest:
    """A function from the sections that matter here to a lowered manifest; artifacts go to the temporary folder."""

    def make(
        corpus: dict[str, Any] | None = None,
        *,
        tokenizer: dict[str, Any] | None = None,
        batch: int = 2,
        seed: int = 1,
        **data: Any,
    ) -> Manifest:
        folders = {"tokenizer_artifacts": str(tmp_path / "tok"), "token_artifacts": str(tmp_path / "tokens")}
        where = {} if "sources" in data else {"corpus": corpus}
        tree = {
            "schema": 1,
            "name": "test",
            "data": {**where, "sequence": 16, "held_out": 0.2, **folders, **data},
            "tokenizer": tokenizer or {"kind": "bytes"},
            "model": {
                "width": 8,
                "context": 1 << 30,
                "blocks": [{"mixer": {"kind": "softmax", "heads": 2}, "mlp": {"kind": "swiglu"}}],
            },
            "optimizer": {"kind": "adamw", "lr": 1e-3},
            "schedule": {"kind": "constant"},
            "training": {"steps": 4, "batch": batch},
            "seeds": [seed],
        }
        return from_tree(tree).runs[0].manifest

    return make


@pytest.fixture
def jsonl(tmp_path: Path) -> dict[str, Any]:
    """A corpus of 60 different documents of 1 to 60 words."""
    path = tmp_path / "corpus.jsonl"
    lines = [json.dumps({"text": f"document {number}: " + "word " * number}) for number in range(1, 61)]
    path.write_text("\n".join(lines) + "\n")
    return {"kind": "jsonl", "files": [str(path)]}
