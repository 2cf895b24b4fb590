"""constraints.txt pins every package that a Hydra environment holds, and the environment is the one it describes."""

from __future__ import annotations

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

PROJECT = "hydra-trainer"
#: torch's CUDA build pins these itself; a CPU build has none of them.
FROM_TORCH = ("nvidia-", "cuda-")


@pytest.fixture(scope="module")
def pins(root: Path) -> dict[str, Version]:
    """The version of every pinned package."""
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = dict(line.split("==") for line in lines if line and not line.startswith("#"))
    return {name: Version(version) for name, version in found.items()}


@pytest.fixture(scope="module")
def project(root: Path) -> dict:
    """The [project] table of pyproject.toml."""
    return tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def closure(requirements: list[str]) -> dict[str, Version]:
    """Every installed package that these requirements bring, with its version; packages not installed are left out."""
    found: dict[str, Version] = {}
    todo = [Requirement(text) for text in requirements]
    seen: set[tuple[str, frozenset[str]]] = set()
    while todo:
        requirement = todo.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if name == PROJECT or (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        found[name] = Version(distribution.version)
        for line in distribution.requires or []:
            child = Requirement(line)
            if child.marker is None or any(child.marker.evaluate({"extra": extra}) for extra in extras or {""}):
                todo.append(child)
    return found


def test_every_line_is_one_exact_version(root: Path) -> None:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    odd = [
        line
        for line in lines
        if line and not line.startswith("#") and not re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line)
    ]
    assert not odd, f"each line is canonical-name==version and nothing else: {odd}"
    names = [line.split("==")[0] for line in lines if "==" in line and not line.startswith("#")]
    assert names == sorted(set(names)), "names are sorted and appear once"


def test_direct_requirements_are_pinned_inside_their_bounds(project: dict, pins: dict[str, Version]) -> None:
    texts = project["dependencies"] + [text for extra in project["optional-dependencies"].values() for text in extra]
    requirements = [Requirement(text) for text in texts]
    direct = {canonicalize_name(one.name): one.specifier for one in requirements if one.name != PROJECT}
    assert not set(direct) - set(pins), "not pinned at all"
    outside = {name: str(pins[name]) for name, bounds in direct.items() if pins[name] not in bounds}
    assert not outside, "the pinned version is outside what pyproject.toml allows"


def test_the_environment_is_the_pinned_one(project: dict, pins: dict[str, Version]) -> None:
    texts = project["dependencies"] + [text for extra in project["optional-dependencies"].values() for text in extra]
    installed = closure(texts)
    assert "torch" in installed
    assert "tensorboard" in installed, "the development set is not installed; make test does it"
    loose = {name: str(version) for name, version in installed.items() if name not in pins}
    loose = {name: version for name, version in loose.items() if not name.startswith(FROM_TORCH)}
    assert not loose, "installed as a dependency, but not pinned in constraints.txt"
    # A local suffix such as +cpu says how torch was built, not which version it is.
    moved = {name: str(v) for name, v in installed.items() if name in pins and v.public != pins[name].public}
    assert not moved, f"other versions than constraints.txt has ({ {name: str(pins[name]) for name in moved} })"
