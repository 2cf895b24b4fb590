"""No module of this package can read or write a pickle, not even through torch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import hydra.training.checkpoint as package

MODULES = {"pickle", "_pickle", "cloudpickle", "dill", "marshal", "shelve", "joblib"}
ATTRIBUTES = {"load", "save"}
CLASSES = {"FileSystemReader", "FileSystemWriter", "async_save", "_EmptyStateDictLoadPlanner"}


def pickling(source: str) -> list[str]:
    """What in a module could pickle: such a module, torch.load and torch.save, torch's own checkpoint storage."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import | ast.ImportFrom) else []
        if isinstance(node, ast.ImportFrom):
            names.append(node.module or "")
            found += [f"torch.{name}" for name in names if node.module == "torch" and name in ATTRIBUTES]
        found += [name for name in names if name.split(".")[0] in MODULES or name in CLASSES]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "torch":
            found += [f"torch.{node.attr}"] * (node.attr in ATTRIBUTES)
        if isinstance(node, ast.Attribute) and node.attr in CLASSES:
            found.append(node.attr)
    return found


def test_the_package_pickles_nothing() -> None:
    sources = sorted(Path(package.__file__).parent.glob("*.py"))
    assert len(sources) > 10
    assert {path.name: pickling(path.read_text()) for path in sources} == {path.name: [] for path in sources}


@pytest.mark.parametrize(
    "line",
    ["import pickle", "from pickle import loads", "torch.load(f)", "torch.save(x, f)", "from torch import save",
     "from torch.distributed.checkpoint import FileSystemWriter", "dcp.FileSystemReader(path)"],
)  # fmt: skip
def test_offenders_are_caught(line: str) -> None:
    assert pickling(line)


def test_reading_safely_is_not_an_offence() -> None:
    assert not pickling("from torch.distributed.checkpoint.state_dict_loader import load\nload({})\njson.load(f)\n")
