"""One host without an index but the tests' own, and what is dear to make: wheels and an interpreter with a torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fleet.environment.hosts import Host, make_host
from tests.fleet.environment.index import make_wheel
from tests.fleet.environment.interpreters import make_interpreter, torch_files


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Wheels: alpha needs beta; usurper brings its own torch, blinder hides the devices, heavy is 3 MiB."""
    folder = tmp_path_factory.mktemp("wheels")
    make_wheel(folder, "alpha", "1.0", requires=["beta>=1"])
    make_wheel(folder, "alpha", "1.1", requires=["beta>=1"])
    make_wheel(folder, "beta", "1.0")
    make_wheel(folder, "beta", "2.0")
    make_wheel(folder, "heavy", "1.0", files={"payload.bin": os.urandom(3 << 20)})
    other = {path: text.encode() for path, text in torch_files("2.13.0+cu130", cuda="13.0").items()}
    make_wheel(folder, "usurper", "1.0", files=other)
    hide = b"import os; os.environ['CUDA_VISIBLE_DEVICES'] = ''\n"
    make_wheel(folder, "blinder", "1.0", files={"blinder.pth": hide})
    return folder


@pytest.fixture(scope="session")
def torch_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter with a torch that sees two devices. Tests only read it."""
    return make_interpreter(tmp_path_factory.mktemp("base") / "venv", devices=2)


@pytest.fixture
def host(tmp_path: Path, wheels: Path, torch_python: Path) -> Host:
    """A fresh host."""
    return make_host(tmp_path / "home", wheels, torch_python)


@pytest.fixture(scope="module")
def make_hosts(wheels: Path, torch_python: Path) -> Callable[[Path], Host]:
    """Makes further hosts in a folder."""
    return lambda home: make_host(home, wheels, torch_python)
