"""The room's door: importing it is cheap, and every public name is there."""

from __future__ import annotations

import subprocess
import sys

import pytest

import hydra.inference


def test_importing_the_room_pulls_in_no_torch() -> None:
    code = "import sys, hydra.inference; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("name", hydra.inference.__all__)
def test_public_names_load(name: str) -> None:
    assert getattr(hydra.inference, name).__name__ == name


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="nothing"):
        _ = hydra.inference.nothing
