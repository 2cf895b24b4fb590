"""Files of hosts to be read, and what is wrong in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleet.inventory import Fault, InvalidInventory, Inventory, load

Writer = Callable[[Any], Path]


@pytest.fixture
def written(tmp_path: Path) -> Writer:
    """Writes a fleet.json, of text or of data with one key a line."""

    def write(content: Any) -> Path:
        path = tmp_path / "fleet.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=1), encoding="utf-8")
        return path

    return write


@pytest.fixture
def small() -> dict[str, Any]:
    """A valid file with two hosts, to be changed by a test."""
    return {
        "version": 1,
        "project": "hydra",
        "defaults": {"user": "trainer"},
        "instances": {"box": {"host": "192.0.2.1"}, "bay": {"host": "192.0.2.2"}},
        "groups": {"pair": {"members": ["box", "bay"]}},
    }


@pytest.fixture
def inventory_of(written: Writer) -> Callable[[Any], Inventory]:
    """The inventory of a file's content."""
    return lambda content: load(written(content))


@pytest.fixture
def faults_of(written: Writer) -> Callable[[Any], list[Fault]]:
    """The mistakes in a file's content, in the order in which they are told."""

    def faults(content: Any) -> list[Fault]:
        with pytest.raises(InvalidInventory) as raised:
            load(written(content))
        assert raised.value.exit_code == 2
        return list(raised.value.faults)

    return faults
