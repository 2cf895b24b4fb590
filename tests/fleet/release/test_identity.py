"""The id of a release says what it holds, and nothing else."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleet.errors import Unverified, Usage
from fleet.release import Tree, scan
from fleet.release.entry import Entry
from fleet.release.links import leaves_tree
from fleet.release.manifest import checksums, parse, render
from tests.fleet.release.places import ODD, git, needs_git, write

part = st.sampled_from(ODD) | st.binary(min_size=1, max_size=8).filter(
    lambda name: name not in (b".", b"..", b".git", b".fleet") and not set(name) & set(b"/\0\n\r")
)
path = st.lists(part, min_size=1, max_size=4).map(b"/".join)
entry = st.builds(
    Entry,
    path,
    st.sampled_from(["f", "l"]),
    st.sampled_from([0o644, 0o755, 0o777]),
    st.integers(0, 1 << 45),
    st.text("0123456789abcdef", min_size=64, max_size=64),
    st.just(b""),
)


@given(st.lists(entry, unique_by=lambda one: one.path))
def test_a_manifest_says_exactly_what_it_was_made_of(entries: list[Entry]) -> None:
    assert list(parse(render(entries)).values()) == entries


@pytest.mark.parametrize("line", [b"f 0644 1 abc", b"x 0644 1 abc path", b"f mode 1 abc path", b"f 0644 big abc path"])
def test_a_line_that_means_nothing_is_refused(line: bytes) -> None:
    with pytest.raises(Unverified, match="holds the line"):
        parse(line + b"\n")


def test_the_manifest_is_the_one_that_is_documented(place: Path) -> None:
    write(place / "p", {"run.sh": (b"#!/bin/sh\n", True), "a b": b"hello\n", "l": "a b"})
    tree = scan(place / "p")

    def sha(data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()

    lines = [
        f"f 0644 6 {sha(b'hello' + bytes([10]))} a b",
        f"l 0777 3 {sha(b'a b')} l",
        f"f 0755 10 {sha(b'#!/bin/sh' + bytes([10]))} run.sh",
    ]
    assert tree.manifest.decode().splitlines() == lines
    assert tree.digest == sha(tree.manifest)
    assert tree.release == tree.digest[:16]
    assert checksums(tree.entries).decode().splitlines() == [
        f"{sha(b'hello' + bytes([10]))}  ./a b",
        f"{sha(b'#!/bin/sh' + bytes([10]))}  ./run.sh",
    ]


@needs_git
def test_time_user_and_place_are_not_in_the_id(look: Callable[..., Tree], project: Path, place: Path) -> None:
    before = look()
    commit = before.provenance.commit
    for file in project.rglob("*.py"):
        os.utime(file, (1, 1))
        file.chmod(file.stat().st_mode & 0o100 | 0o600)
    git(project, "commit", "--quiet", "--allow-empty", "--message=other")
    after = look()
    assert after.digest == before.digest
    assert after.provenance.commit != commit


def test_content_mode_name_and_kind_are(place: Path) -> None:
    write(place / "p", {"a": b"1", "b": b"2"})
    ids = {scan(place / "p").release}
    (place / "p" / "a").write_bytes(b"2")
    ids.add(scan(place / "p").release)
    (place / "p" / "a").chmod(0o755)
    ids.add(scan(place / "p").release)
    (place / "p" / "a").rename(place / "p" / "c")
    ids.add(scan(place / "p").release)
    (place / "p" / "c").unlink()
    (place / "p" / "c").symlink_to("b")
    ids.add(scan(place / "p").release)
    assert len(ids) == 5


@needs_git
def test_commit_dirt_and_patch_are_recorded(look: Callable[..., Tree], project: Path, place: Path) -> None:
    clean = look().provenance
    assert (clean.commit, clean.dirty, clean.patch) == (git(project, "rev-parse", "HEAD"), False, b"")
    write(project, {"new.py": b"1"})
    assert (look().provenance.dirty, look().provenance.untracked, look().provenance.patch) == (True, 1, b"")
    (project / "README.md").write_bytes(b"# Changed\n\xff")
    git(project, "config", "diff.external", "false")
    git(project, "config", "color.ui", "always")
    changed = look().provenance
    assert b"README.md" in changed.patch
    assert changed.patch_digest == hashlib.sha256(changed.patch).hexdigest()
    git(project, "checkout", "--quiet", "README.md")
    (place / "patch").write_bytes(changed.patch)
    git(project, "apply", str(place / "patch"))
    assert (project / "README.md").read_bytes() == b"# Changed\n\xff"


@needs_git
def test_a_repository_without_a_commit_can_be_deployed(place: Path) -> None:
    (place / "p").mkdir()
    git(place / "p", "init", "--quiet")
    write(place / "p", {"a": b"1"})
    provenance = scan(place / "p").provenance
    assert (provenance.commit, provenance.dirty, provenance.untracked) == (None, True, 1)


def test_large_trees_warn_and_too_large_ones_are_refused(place: Path) -> None:
    write(place / "p", {f"data{number}.bin": bytes(2 << 20) for number in range(12)})
    with pytest.raises(Usage, match=r"24 MiB, the limit is 20 MiB; largest: data0.bin \(2.0 MiB\)"):
        scan(place / "p", max_size=20 << 20)
    assert scan(place / "p").warnings == ()
    with (place / "p" / "huge.bin").open("wb") as file:
        file.truncate(45 << 20)
    (warning,) = scan(place / "p").warnings
    assert warning.startswith("the tree has 69 MiB; largest: huge.bin (45.0 MiB), data0.bin")
    assert warning.count("MiB)") == 10


def test_pointers_of_large_files_are_reported(place: Path) -> None:
    text = "version https:" + "//git-lfs.example.com/spec/v1\noid sha256:" + "0" * 64 + "\nsize 123456\n"
    write(place / "p", {"weights.bin": text.encode(), "notes.md": b"version git-lfs is nice\n"})
    for _ in range(2):
        (warning,) = scan(place / "p", cache=place / "cache").warnings
        assert "git lfs pull" in warning
        assert warning.endswith(": weights.bin")


target = st.lists(st.sampled_from(["..", ".", "", "a", "b", "ab", "d"]), min_size=1, max_size=5).map("/".join)


@given(st.dictionaries(st.sampled_from(["a", "b", "ab"]), target.filter(bool), min_size=1))
def test_links_are_followed_as_the_kernel_does(tmp_path_factory: pytest.TempPathFactory, links: dict[str, str]) -> None:
    outside = os.fsencode(tmp_path_factory.mktemp("links").resolve())
    root = outside + b"/a"
    for folder in (b"/b", b"/ab", b"/a/a", b"/a/b", b"/a/d"):
        os.makedirs(outside + folder)
    placed = {f"d/{name}".encode(): target.encode() for name, target in links.items()}
    for name, target in placed.items():
        os.symlink(target, root + b"/" + name)
    for name in placed:
        with contextlib.suppress(OSError):
            descriptor = os.open(root + b"/" + name, os.O_PATH)
            end = os.readlink(f"/proc/self/fd/{descriptor}").encode()
            os.close(descriptor)
            inside = end == root or end.startswith(root + b"/")
            assert inside or leaves_tree(name, placed)


def test_every_letter_can_be_in_a_name(place: Path) -> None:
    letters = {bytes([code]) + b"x": b"1" for code in range(1, 256) if code not in b"/\n\r"}
    write(place / "p", letters)
    assert {entry.path for entry in scan(place / "p").entries} == set(letters)


def test_what_is_held_back_is_not_in_the_patch_either(project: Path) -> None:
    secret = b"TOKEN=canary-4711\n"
    files: dict[str | bytes, bytes] = dict.fromkeys((".env", "gone.env", "private/notes", "private/removed"), secret)
    write(project, {**files, "hydra/data.py": b"old = 1\n", ".fleetignore": b"private/\n"})
    git(project, "add", ".")
    git(project, "commit", "-qm", "with secrets")
    write(project, {".env": b"TOKEN=canary-4712\n", "private/notes": b"canary-4713\n", "hydra/data.py": b"now = 1\n"})
    (project / "gone.env").unlink()
    git(project, "rm", "-q", "private/removed")
    found = scan(project, never=[".env", "gone.env"]).provenance
    assert b"now = 1" in found.patch
    assert b"canary" not in found.patch
    (project / "hydra/data.py").write_bytes(b"old = 1\n")
    assert not scan(project, never=[".env", "gone.env"]).provenance.dirty


def test_the_file_behind_a_link_that_is_never_sent_is_not_sent(project: Path) -> None:
    write(project, {"real.env": b"TOKEN=canary-4711\n", ".env": "real.env"})
    paths = {entry.path for entry in scan(project, never=[".env"]).entries}
    assert not {b".env", b"real.env"} & paths
