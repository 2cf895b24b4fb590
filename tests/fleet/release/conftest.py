"""Hosts and projects for the tests of releases."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from fleet.release import Tree, scan
from tests.farm.fakes import without
from tests.fleet.release.places import Host, repository

FILES = {
    "trainer.py": (b"#!/usr/bin/env python3\nprint('train')\n", True),
    "README.md": b"# Project\n",
    "hydra/__init__.py": b"",
    "hydra/model/block.py": b"class Block: ...\n",
    "hydra/model/stack.py": b"class Stack: ...\n",
    "manifests/default.yaml": b"name: small\n",
    "manifests/latest.yaml": "default.yaml",
}


def _writable(folder: Path) -> None:
    """Releases have lost their write permission; give it back, or pytest cannot remove them."""
    for path in [folder, *folder.rglob("*")]:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """A folder for a test's homes and projects."""
    yield tmp_path
    _writable(tmp_path)


@pytest.fixture(scope="session")
def path_without(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Gives a PATH on which programs are missing: `path_without("flock", "python3*")`. Each is made once."""
    folder = tmp_path_factory.mktemp("paths")
    return cache(lambda *missing: str(without(folder / "-".join(missing).replace("*", ""), missing)))


@pytest.fixture
def host(place: Path) -> Host:
    """A host to which nothing was deployed."""
    return Host(place / "home")


@pytest.fixture(scope="session")
def seven_releases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, list[str]]]:
    """A home with seven releases, oldest first, the last one current. Tests take copies."""
    folder = tmp_path_factory.mktemp("seven")
    host, root, found = Host(folder / "home"), repository(folder / "project", FILES), []
    for number in range(7):
        (root / "README.md").write_bytes(b"%d" % number)
        found.append(host.deploy(scan(root)).release)
        # Newest first is told by the time of arrival.
        os.utime(host.release(found[-1]), (number + 1e9, number + 1e9))
    yield folder / "home", found
    _writable(folder)


@pytest.fixture
def many(seven_releases: tuple[Path, list[str]], host: Host) -> list[str]:
    """The seven releases on this test's own host."""
    home, found = seven_releases
    subprocess.run(["cp", "-a", f"{home}/.", str(host.home)], check=True)
    return found


@pytest.fixture
def project(place: Path) -> Path:
    """A small project in git."""
    return repository(place / "project", FILES)


@pytest.fixture
def look(project: Path, place: Path) -> Callable[..., Tree]:
    """Looks at the project as a deploy does, with a cache."""
    return lambda **options: scan(project, cache=place / "cache", **options)


@pytest.fixture
def tree(look: Callable[..., Tree]) -> Tree:
    """The project as it is."""
    return look()
