"""Folders are packages, rooms are entered by their doors, and no ignore rule hides a source file."""

from __future__ import annotations

import ast
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

# What an ignore rule once hid elsewhere: folders whose names look like a build's or a run's output.
LOOKALIKES = [
    f"hydra/{name}/__init__.py"
    for name in ("data", "runs", "build", "dist", "lib", "env", "models", "artifacts", "wandb")
] + [
    "fleet/release/__init__.py",
    "fleet/environment/env.py",
    "hydra/training/checkpoint.py",
    "tests/hydra/data/test_x.py",
]


def folders_without_init(paths: list[str]) -> list[str]:
    """Package folders that hold modules, or packages further down, but no __init__.py of their own."""
    files = set(paths)
    folders = {str(parent) for path in paths if "/" in path for parent in Path(path).parents if str(parent) != "."}
    return sorted(folder for folder in folders if f"{folder}/__init__.py" not in files)


def room_of(path: str) -> str:
    """`hydra.data` for hydra/data/loader.py; `hydra` for modules directly in the package."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:2]) if len(parts) > 2 else parts[0]


def reaches_inside(source) -> list[str]:
    """Imports of another room's inner files.

    A room's door is the room itself or one of its modules, `hydra.data` or `hydra.data.loader`; a folder inside the
    room is its own business. Kind declarations are the exception: `hydra.manifest` reads any `config` module to build
    the schema.
    """
    found = []
    for node in ast.walk(source.tree):
        if not isinstance(node, ast.ImportFrom) or node.module is None:
            continue
        parts = node.module.split(".")
        foreign = parts[0] in {"hydra", "fleet", "perf"} and ".".join(parts[:2]) != room_of(source.path)
        private = [alias.name for alias in node.names if alias.name.startswith("_") and not alias.name.startswith("__")]
        deep = len(parts) > 3 and parts[-1] != "config"
        if foreign and (private or deep or any(part.startswith("_") for part in parts)):
            names = ", ".join(alias.name for alias in node.names)
            found.append(f"{source.path}:{node.lineno}: from {node.module} import {names}")
    return found


def ignored(root: Path, paths: list[str]) -> list[str]:
    """The paths that git would ignore, whether or not it tracks them."""
    asked = subprocess.run(
        ["git", "-C", root, "check-ignore", "--no-index", "--stdin", "-z"],
        input="\0".join(paths),
        capture_output=True,
        text=True,
    )
    assert asked.returncode in (0, 1), asked.stderr
    return [path for path in asked.stdout.split("\0") if path]


def test_every_package_folder_has_an_init(package_sources) -> None:
    paths = [source.path for source in package_sources if source.path != "trainer.py"]
    assert not folders_without_init(paths)
    assert folders_without_init(["hydra/__init__.py", "hydra/data/corpora/text.py"]) == [
        "hydra/data",
        "hydra/data/corpora",
    ]


def test_rooms_are_entered_by_their_doors(package_sources) -> None:
    found = [offence for source in package_sources for offence in reaches_inside(source)]
    assert not found, "export these names from the room, or import the exported ones:\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("line", "allowed"),
    [
        ("from hydra.data import loader", True),
        ("from hydra.data.loader import Loader", True),
        ("from hydra.attention.backends.softmax.config import Softmax", True),
        ("from hydra.training.checkpoint.format import header", True),
        ("from hydra.attention.backends.softmax.module import Softmax", False),
        ("from hydra.data.loader import _order", False),
        ("from hydra.data._order import order", False),
    ],
)
def test_reaching_inside_is_caught(source_type: Callable, line: str, allowed: bool) -> None:
    assert bool(reaches_inside(source_type("hydra/training/loop.py", line))) is not allowed


def test_nobody_imports_the_script(package_sources) -> None:
    importers = [
        f"{source.path}:{node.lineno}"
        for source in package_sources
        for node in ast.walk(source.tree)
        if (isinstance(node, ast.Import) and "trainer" in {alias.name for alias in node.names})
        or (isinstance(node, ast.ImportFrom) and node.module == "trainer")
    ]
    assert not importers, "trainer.py is a script; import hydra.training or hydra.cli instead: " + ", ".join(importers)


def test_every_package_is_checked(root: Path, package_sources) -> None:
    """A package that joins must be typed, must state whom it may import, and must be in the wheel."""
    tools = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    for package in {source.path.split("/")[0] for source in package_sources} - {"trainer.py"}:
        assert package in tools["mypy"]["files"]
        assert package in tools["importlinter"]["root_packages"]
        assert {package, f"{package}.*"} <= set(tools["setuptools"]["packages"]["find"]["include"])


@pytest.mark.needs("git")
def test_no_ignore_rule_hides_a_source(root: Path, all_sources) -> None:
    data = [
        path.relative_to(root).as_posix()
        for path in (root / "hydra").rglob("*.*")
        if path.suffix not in {".py", ".pyc"}
    ]
    hidden = ignored(root, [source.path for source in all_sources] + data + LOOKALIKES)
    assert not hidden, "change .gitignore, or these never reach the repository: " + ", ".join(hidden)
    assert ignored(root, ["hydra/__pycache__/a.pyc", "runs/some-run/state.json"]), "nothing at all is ignored"
