"""The source tree, read once: what every test of the project's style looks at."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
#: Packages that people install; those that do not exist yet contribute nothing.
PACKAGES = ("hydra", "fleet", "perf")


@dataclass(frozen=True)
class Source:
    """One Python file: its path from the root with forward slashes, its text and its syntax tree."""

    path: str
    text: str

    @property
    def tree(self) -> ast.Module:
        """The file's syntax tree."""
        return ast.parse(self.text, self.path)


def read(folders: tuple[str, ...], scripts: tuple[str, ...] = ()) -> list[Source]:
    """Every Python file under the folders, and the scripts that exist."""
    files = [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]
    files += [ROOT / script for script in scripts if (ROOT / script).exists()]
    return [Source(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8")) for file in files]


@pytest.fixture(scope="session")
def package_sources() -> list[Source]:
    """What people install or run: the packages and trainer.py."""
    sources = read(PACKAGES, ("trainer.py",))
    assert any(source.path == "hydra/__init__.py" for source in sources)
    return sources


@pytest.fixture(scope="session")
def all_sources(package_sources: list[Source]) -> list[Source]:
    """The packages and their tests."""
    return package_sources + read(("tests",))


@pytest.fixture(scope="session")
def source_type() -> type[Source]:
    """The class of a source file, with which a test plants an offence to see it caught."""
    return Source
