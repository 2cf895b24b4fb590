"""A small valid manifest to start from, as text and as data."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hydra.errors import ManifestError
from hydra.manifest import from_tree, load

SMALL = """\
schema: 1
name: small
data:
  corpus: {kind: stdlib}
  sequence: 64
tokenizer: {kind: bytes}
model:
  width: 64
  blocks:
    - {mixer: {kind: softmax, heads: 4}, mlp: {kind: swiglu}}
    - {mixer: {kind: softmax, heads: 4}, mlp: {kind: swiglu}}
optimizer: {kind: adamw, lr: 3.0e-3}
schedule: {kind: wsd, warmup_steps: 2}
training: {steps: 10, batch: 4}
"""

TREE: dict[str, Any] = {
    "schema": 1,
    "name": "small",
    "data": {"corpus": {"kind": "stdlib"}, "sequence": 64},
    "tokenizer": {"kind": "bytes"},
    "model": {
        "width": 64,
        "blocks": [
            {"mixer": {"kind": "softmax", "heads": 4}, "mlp": {"kind": "swiglu"}},
            {"mixer": {"kind": "softmax", "heads": 4}, "mlp": {"kind": "swiglu"}},
        ],
    },
    "optimizer": {"kind": "adamw", "lr": 3e-3},
    "schedule": {"kind": "wsd", "warmup_steps": 2},
    "training": {"steps": 10, "batch": 4},
}


@pytest.fixture
def small() -> str:
    """The text of a valid manifest; tests replace parts of it."""
    return SMALL


@pytest.fixture
def tree() -> dict[str, Any]:
    """The same as data, fresh for each test."""
    return copy.deepcopy(TREE)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Puts text into a manifest file."""

    def put(text: str) -> Path:
        path = tmp_path / "m.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return put


@pytest.fixture
def refusal(write: Callable[[str], Path]) -> Callable[..., str]:
    """Loads text that must be refused, and gives the message."""

    def load_it(text: str, *overrides: str) -> str:
        with pytest.raises(ManifestError) as caught:
            load(write(text), overrides)
        return str(caught.value)

    return load_it


@pytest.fixture
def refusal_of_tree() -> Callable[[dict[str, Any]], str]:
    """The same for data."""

    def load_it(tree: dict[str, Any]) -> str:
        with pytest.raises(ManifestError) as caught:
            from_tree(tree)
        return str(caught.value)

    return load_it
