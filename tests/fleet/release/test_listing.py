"""Which files are sent is git's decision: nothing is invented here, and nothing of git itself is sent."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from fleet.errors import Usage
from fleet.release import Tree, scan
from fleet.release.hashing import hash_file
from tests.fleet.release.places import git, needs_git, repository, write

pytestmark = needs_git


def names(tree: Tree) -> set[str]:
    """Paths of a tree."""
    return {os.fsdecode(entry.path) for entry in tree.entries}


@pytest.mark.usefixtures("project")
def test_tracked_and_unignored_files_are_sent(place: Path, project: Path) -> None:
    write(project, {".gitignore": b"*.log\n/data/\n!keep.log\n", "untracked.py": b"1", "a.log": b"2", "keep.log": b"3"})
    write(project, {"data/big.bin": b"4", "hydra/data/loader.py": b"5", "forced.log": b"6"})
    git(project, "add", "--force", "forced.log")
    (project / "README.md").unlink()
    found = names(scan(project))
    assert {"untracked.py", "keep.log", "hydra/data/loader.py", "forced.log", ".gitignore", "trainer.py"} <= found
    assert not {"a.log", "data/big.bin", "README.md"} & found
    assert not any(name.startswith((".git/", ".fleet/")) for name in found)


def test_only_the_part_below_the_root_is_sent(project: Path) -> None:
    write(project, {"hydra/.fleet/known_hosts": b"x"})
    assert names(scan(project / "hydra")) == {"__init__.py", "model/block.py", "model/stack.py"}


def test_outside_git_everything_is_sent(place: Path) -> None:
    write(place / "plain", {"a.py": b"1", "sub/b.py": b"2", "link": "a.py", ".hidden": b"3", ".fleet/state.db": b"4"})
    write(place / "plain" / "sub" / "nested", {".git/config": b"5", "c.py": b"6"})
    assert names(scan(place / "plain")) == {"a.py", "sub/b.py", "link", ".hidden", "sub/nested/c.py"}


@pytest.mark.parametrize("inside_git", [True, False])
def test_fleetignore_has_git_s_syntax(place: Path, inside_git: bool) -> None:
    files = {
        ".fleetignore": b"*.bin\n!keep.bin\n/top/\nbuild/**/x\n# a comment\n\\#odd\nspace\\ \n",
        **dict.fromkeys(("a.bin", "keep.bin", "deep/b.bin", "top/file", "deep/top/file", "#odd", "space "), b"1"),
        **dict.fromkeys(("build/x", "build/1/2/x", "build/y", "deep/.gitkeep", "tracked.bin"), b"1"),
        "deep/.fleetignore": b"only-here\n!b.bin\n",
        **dict.fromkeys(("only-here", "deep/only-here", "deep/er/only-here"), b"1"),
    }
    root = repository(place / "p", files) if inside_git else place / "p"
    write(root, files)
    kept = {"keep.bin", "deep/b.bin", "deep/top/file", "build/y", "deep/.gitkeep", "only-here"}
    assert names(scan(root)) == kept | {".fleetignore", "deep/.fleetignore"}


def test_rules_of_git_and_fleet_do_not_mix(place: Path) -> None:
    root = repository(place / "p", {".gitignore": b"*.tmp\n!notes.txt\n", ".fleetignore": b"notes.txt\n!a.tmp\n"})
    write(root, {"notes.txt": b"1", "a.tmp": b"2"})
    assert names(scan(root)) == {".gitignore", ".fleetignore"}


def test_an_ignored_fleetignore_still_counts(place: Path) -> None:
    root = repository(place / "p", {".gitignore": b"/.fleetignore\n", ".fleetignore": b"*.md\n", "a.md": b"", "b": b""})
    assert names(scan(root)) == {".gitignore", "b"}


def test_submodules_are_sent_and_missing_ones_reported(place: Path, project: Path) -> None:
    library = repository(place / "library", {"lib.py": b"1", ".gitignore": b"*.o\n"})
    git(project, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(library), "vendor/library")
    write(project, {"vendor/library/new.py": b"2", "vendor/library/x.o": b"3"})
    repository(project / "nested", {"inner.py": b"4"}, commit=False)
    tree = scan(project)
    assert {"vendor/library/lib.py", "vendor/library/new.py", "nested/inner.py", ".gitmodules"} <= names(tree)
    assert "vendor/library/x.o" not in names(tree)
    assert not any(".git/" in name or name.endswith("/.git") for name in names(tree))
    git(project, "submodule", "--quiet", "deinit", "--force", "vendor/library")
    tree = scan(project)
    assert not any(name.startswith("vendor/") for name in names(tree))
    assert tree.warnings == ("submodule vendor/library is not checked out: nothing of it is sent",)


def test_what_replaces_a_tracked_file_is_sent(place: Path, project: Path) -> None:
    for _ in range(2):
        scan(project, cache=place / "cache")
        (project / "README.md").unlink(missing_ok=True)
        write(project, {"README.md/inner": b"1"})
        tree = scan(project, cache=place / "cache")
        assert tree.warnings == ()
        assert "README.md/inner" in names(tree)
        (project / "README.md" / "inner").unlink()
        (project / "README.md").rmdir()
        assert "README.md" not in names(scan(project, cache=place / "cache"))


def test_paths_that_are_never_sent(project: Path) -> None:
    write(project, {".env.local": b"TOKEN=1", "sub/.env.local": b"x"})
    assert {".env.local", "sub/.env.local"} <= names(scan(project))
    for never in ("./.env.local", str(project / ".env.local"), "hydra/../.env.local"):
        found = names(scan(project, never=[never, "~/elsewhere", "../outside"]))
        assert ".env.local" not in found
        assert "sub/.env.local" in found


def test_a_hook_s_variables_do_not_point_git_elsewhere(place: Path, project: Path) -> None:
    other = repository(place / "other", {"other.py": b"1"})
    code = (
        "import sys; from pathlib import Path; from fleet.release import scan; print(scan(Path(sys.argv[1])).release)"
    )
    argv = ["env", f"GIT_DIR={other / '.git'}", f"GIT_INDEX_FILE={other / '.git/index'}", sys.executable, "-c", code]
    done = subprocess.run([*argv, str(project)], capture_output=True, text=True)
    assert done.stdout.strip() == scan(project).release, done.stderr


def test_a_git_that_fails_is_an_error_not_a_guess(place: Path, project: Path) -> None:
    (project / ".git" / "HEAD").write_text("nonsense\n")
    with pytest.raises(Usage, match="git cannot list"):
        scan(project)


def test_without_git_a_work_tree_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch, place: Path) -> None:
    (place / "bin").mkdir()
    (place / "bin" / "env").symlink_to("/usr/bin/env")
    monkeypatch.setenv("PATH", str(place / "bin"))
    with pytest.raises(Usage, match="no git"):
        scan(project)


@pytest.mark.parametrize("name", [b"line\nbreak", b"carriage\rreturn"])
def test_line_breaks_in_names_are_refused(place: Path, name: bytes) -> None:
    write(place / "p", {name: b"1"})
    with pytest.raises(Usage, match="line break"):
        scan(place / "p")


@pytest.mark.parametrize("target", ["/etc/passwd", "../outside", "sub/../../x", "inner/../../../x"])
def test_links_out_of_the_tree_are_refused(place: Path, target: str) -> None:
    write(place / "p", {"link": target, "sub/file": b"1", "inner": "sub/deep", "sub/deep/file": b"2"})
    with pytest.raises(Usage, match="link out of the tree"):
        scan(place / "p")


def test_pipes_sockets_and_devices_are_refused(place: Path) -> None:
    write(place / "p", {"file": b"1"})
    os.mkfifo(place / "p" / "pipe")
    with pytest.raises(Usage, match="pipe is neither a file nor"):
        scan(place / "p")
    (place / "p" / "pipe").unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place / "p" / "socket"))
        with pytest.raises(Usage, match="socket is neither"):
            scan(place / "p")


def test_an_empty_tree_is_refused(place: Path) -> None:
    (place / "p").mkdir()
    with pytest.raises(Usage, match="nothing to deploy"):
        scan(place / "p")


def test_what_cannot_be_read_is_named(place: Path) -> None:
    write(place / "p", {"folder/file": b"1"})
    with pytest.raises(Usage, match="cannot read folder: Is a directory"):
        hash_file(os.fsencode(place / "p") + b"/", b"folder")
