"""`--ref`: the files of a commit, whatever the work tree holds."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.errors import Usage
from fleet.release import Tree, scan
from tests.fleet.release.places import Host, git, needs_git, repository, seen, write

pytestmark = needs_git


def test_a_clean_tree_and_its_commit_have_one_id(look: Callable[..., Tree], project: Path) -> None:
    assert look(ref="HEAD").digest == look().digest
    assert look(ref="HEAD").digest == scan(project, ref="main").digest


def test_the_work_tree_plays_no_part(host: Host, look: Callable[..., Tree], project: Path, place: Path) -> None:
    write(project, {"big.bin": os.urandom(3 << 20), "tool": (b"#!/bin/sh\n", True)})
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "--message=second")
    commit = git(project, "rev-parse", "HEAD")
    expected = {path: what for path, what in seen(project).items() if not path.startswith(b".git/")}
    (project / "README.md").write_bytes(b"changed")
    (project / "trainer.py").unlink()
    write(project, {"untracked": b"1"})
    for _ in range(2):
        tree = look(ref="HEAD")
        assert (tree.provenance.commit, tree.provenance.dirty) == (commit, False)
    host.deploy(tree)
    assert seen(host.release(tree.release)) == expected
    earlier = look(ref="HEAD~1")
    assert host.deploy(earlier).files_sent == 0
    assert b"big.bin" not in seen(host.release(earlier.release))


def test_only_the_part_below_the_root_is_sent(project: Path) -> None:
    assert scan(project / "hydra", ref="HEAD").digest == scan(project / "hydra").digest


def test_the_commit_s_own_fleetignore_counts(place: Path) -> None:
    files = {
        ".fleetignore": b"*.bin\n",
        "a.bin": b"1",
        "b.py": b"2",
        "d/.fleetignore": b"x\n",
        "d/x": b"3",
        "d/y": b"4",
    }
    root = repository(place / "p", files)
    (root / ".fleetignore").write_bytes(b"*.py\n")
    found = {entry.path for entry in scan(root, ref="HEAD").entries}
    assert found == {b".fleetignore", b"b.py", b"d/.fleetignore", b"d/y"}


def test_submodules_of_a_commit_are_reported(place: Path, project: Path) -> None:
    library = repository(place / "library", {"lib.py": b"1"})
    git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "library")
    git(project, "commit", "--quiet", "--message=second")
    assert scan(project, ref="HEAD").warnings == ("submodule library is not part of --ref: nothing of it is sent",)


@pytest.mark.parametrize("ref", ["nowhere", "--all", "-x", "HEAD^{tree}", "HEAD:README.md", ""])
def test_what_is_no_commit_is_refused(project: Path, ref: str) -> None:
    with pytest.raises(Usage, match="no commit"):
        scan(project, ref=ref)


def test_outside_git_there_is_no_commit(place: Path) -> None:
    write(place / "p", {"a": b"1"})
    with pytest.raises(Usage, match="no commit 'HEAD'"):
        scan(place / "p", ref="HEAD")
