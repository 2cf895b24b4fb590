"""The sources name no folder of anybody's machine and no place to fetch packages from.

A path below somebody's home works for one person; a package registry is the reader's choice, made in their pip
settings. Hosts are therefore held against a list of places where papers, code and licences live.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

SUFFIXES = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".json", ".html", ".css", ".js", ".sh", ""}
FOLDERS = ("hydra", "fleet", "perf", "tests", "docs", "manifests", ".ci")
FILES = ("README.md", "Makefile", "pyproject.toml", "constraints.txt", "trainer.py", "runs/README.md", ".gitignore")
# Assembled, or this file would report itself.
FOLDER_OF_SOMEBODY = re.compile(r"(?<![\w.)}\]*>-])/(?:" + "|".join(("work", "home", "Users", "root")) + r")/[\w.-]+")
HOST = re.compile(r"\bhttps?://([A-Za-z0-9.-]*[A-Za-z0-9])")
CITED = {
    *("arxiv.org", "doi.org", "github.com", "openreview.net", "aclanthology.org", "proceedings.mlr.press"),
    *("www.apache.org", "www.w3.org", "json-schema.org", "docs.python.org", "docs.pytorch.org", "pytorch.org"),
    *("docs.nvidia.com", "www.nvidia.com", "huggingface.co", "wandb.ai", "docs.wandb.ai"),
    *("127.0.0.1", "localhost", "example.com", "example.org"),
}


def texts(root: Path) -> list[tuple[str, str]]:
    """Every text file of the project with its path from the root."""
    files = [file for folder in FOLDERS for file in sorted((root / folder).rglob("*")) if file.is_file()]
    files += [root / name for name in FILES if (root / name).exists()]
    kept = [file for file in files if file.suffix in SUFFIXES and "__pycache__" not in file.parts]
    return [(file.relative_to(root).as_posix(), file.read_text(encoding="utf-8")) for file in kept]


def private_places(text: str) -> list[str]:
    """Folders of somebody's machine, and hosts that are not on the list."""
    return FOLDER_OF_SOMEBODY.findall(text) + [host for host in HOST.findall(text) if host.lower() not in CITED]


def test_no_private_place_is_named(root: Path) -> None:
    found = [f"{path}: {place}" for path, text in texts(root) for place in private_places(text)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("data: /" + "home/ada/corpus.txt", "/" + "home/ada"),
        ("see http" + "s://packages.invalid/simple/torch", "packages.invalid"),
    ],
)
def test_a_private_place_is_caught(text: str, place: str) -> None:
    assert private_places(text) == [place]


def test_citations_pass() -> None:
    assert not private_places("https://arxiv.org/abs/1706.03762, hydra/data/home/x.py, `runs/<id>/root/x`")
