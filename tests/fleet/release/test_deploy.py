"""A deploy: what arrives is what was there, in as few steps as possible, and seen only when it is whole."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.errors import Blocked, RemoteFailed, Usage
from fleet.release import Limits, Tree, deploy, plan_deploy, prune, releases, rollback, scan
from fleet.ssh import Cmd, Deadline, Result
from tests.farm.fakes import tool
from tests.fleet.release.places import (
    ODD,
    Host,
    PlainTransport,
    digest_of_everything,
    folders,
    git,
    needs_git,
    seen,
    soon,
    write,
)

pytestmark = needs_git


class Counting(PlainTransport):
    """Counts round trips."""

    trips = 0

    def exec(self, cmd: Cmd, **options: object) -> Result:
        self.trips += 1
        return super().exec(cmd, **options)  # type: ignore[arg-type]

    def stream_in(self, cmd: Cmd, *arguments: object, **options: object) -> Result:
        self.trips += 1
        return super().stream_in(cmd, *arguments, **options)  # type: ignore[arg-type]


def test_what_arrives_is_what_was_there(host: Host, tree: Tree, project: Path) -> None:
    done = host.deploy(tree)
    assert (done.action, done.previous, done.files_sent, done.files_reused) == ("uploaded", None, 7, 0)
    assert host.current() == done.release == tree.release
    release = host.release(tree.release)
    expected = {path: what for path, what in seen(project).items() if not path.startswith(b".git/")}
    assert seen(release) == expected
    record = json.loads((release / ".fleet" / "release.json").read_text())
    assert (record["digest"], record["commit"]) == (tree.digest, git(project, "rev-parse", "HEAD"))
    assert (record["dirty"], record["files"], record["patch"]) == (False, 7, None)
    assert (release / ".fleet" / "manifest").read_bytes() == tree.manifest


@pytest.mark.parametrize("increment", [False, True])
def test_nothing_in_a_release_can_be_written(
    host: Host, look: Callable[..., Tree], project: Path, increment: bool
) -> None:
    if increment:
        write(project, {"manifests/gone.yaml": b"1", "hydra/model/old/file": b"2"})
        host.deploy(look())
        (project / "manifests" / "gone.yaml").unlink()
        (project / "hydra" / "model" / "old" / "file").unlink()
        write(project, {"hydra/fresh/file": b"3"})
    tree = look()
    assert (host.deploy(tree).files_reused > 0) == increment
    release = host.release(tree.release)
    modes = {path: stat.S_IMODE(path.lstat().st_mode) for path in [release, *release.rglob("*")]}
    writable = {path: mode for path, mode in modes.items() if mode & 0o222 and not path.is_symlink()}
    assert not writable
    assert modes[release / "trainer.py"] == 0o555
    assert modes[release / "README.md"] == 0o444
    assert stat.S_IMODE(host.base.stat().st_mode) == 0o700


def test_a_current_tree_costs_one_round_trip(host: Host, tree: Tree) -> None:
    host.deploy(tree)
    before = digest_of_everything(host.home)
    host.transport = Counting(host.home)
    done = host.deploy(tree)
    assert (done.action, done.bytes_sent, done.files_sent, done.files_reused) == ("noop", 0, 0, 7)
    assert host.transport.trips == 1
    assert digest_of_everything(host.home) == before


def test_only_what_changed_is_sent(host: Host, look: Callable[..., Tree], project: Path) -> None:
    first = look()
    host.deploy(first)
    before = digest_of_everything(host.release(first.release))
    (project / "README.md").write_bytes(b"# Changed\n")
    host.transport = Counting(host.home)
    second = look()
    done = host.deploy(second)
    assert (done.action, done.previous, done.files_sent, done.files_reused) == ("uploaded", first.release, 1, 6)
    assert host.transport.trips == 2
    assert digest_of_everything(host.release(first.release)) == before
    same, changed = (
        [os.stat(host.release(tree.release) / name).st_ino for tree in (first, second)]
        for name in ("trainer.py", "README.md")
    )
    assert same[0] == same[1], "an equal file is shared by both releases"
    assert changed[0] != changed[1]


STEPS: list[dict[str, object]] = [
    {"a": b"1", "d/x": b"x", "d/y": b"y", "run": (b"r", True), "e/f/g/h": b"h", "e/i": b"i", "s": "a", "keep": b"k"},
    {"a": b"1", "d/x": b"x", "d/y": b"y", "run": b"r", "e/f/g/h": b"h", "e/i": b"i", "s": "a", "keep": b"k"},
    {"a": "keep", "d": b"now a file", "run": b"r", "e/i": b"i", "s": "e/i", "keep": b"k", "e/f/new": b"n"},
    {"a/b/c": b"c", "d": "a", "run/x": (b"x", True), "e": "a", "keep": b"k", "s/t": "../keep"},
    {"a": b"1", "d/x": b"x", "d/z/deep": b"y", "run": "keep", "e/f": b"h", "keep": b"k"},
]


def test_files_links_and_folders_replace_each_other(host: Host, place: Path) -> None:
    """Every step is put on top of one that shares some of it, and is exactly what a full upload gives."""
    full = Host(place / "full")
    for number, files in enumerate(STEPS):
        root = place / f"step{number}"
        write(root, {**files, **{f"same/{index}": b"same" for index in range(12)}})  # type: ignore[dict-item]
        tree = scan(root, cache=place / "cache")
        done = host.deploy(tree)
        assert done.files_reused == (0 if number == 0 else done.files_reused)
        assert (number == 0) == (done.files_reused == 0), done
        full.deploy(scan(root))
        releases = [one.release(tree.release) for one in (host, full)]
        assert seen(releases[0]) == seen(releases[1]) == seen(root)
        assert folders(releases[0]) == folders(releases[1]) == folders(root)
        assert host.left() == []


def test_a_change_of_mode_is_a_change(host: Host, look: Callable[..., Tree], project: Path) -> None:
    host.deploy(look())
    (project / "README.md").chmod(0o755)
    assert host.deploy(look()).files_sent == 1
    (project / "trainer.py").chmod(0o644)
    second = look()
    assert host.deploy(second).files_sent == 1
    modes = [stat.S_IMODE((host.release(second.release) / name).stat().st_mode) for name in ("README.md", "trainer.py")]
    assert modes == [0o555, 0o444]


def test_odd_names_arrive(host: Host, place: Path) -> None:
    files = {name + (b"" if number % 2 else b"/inner"): name for number, name in enumerate(ODD)}
    long = b"/".join([b"f" * 90] * 4)
    files |= {long: b"long", long + b".d/" + b"n" * 120: b"longer"}
    write(place / "p", {**files, "link to": "*"})
    os.symlink(long, os.fsencode(place / "p") + b"/far")
    tree = scan(place / "p", cache=place / "cache")
    host.deploy(tree)
    assert seen(host.release(tree.release)) == seen(place / "p")
    for number, name in enumerate(ODD):
        if number % 3:
            os.unlink(os.fsencode(place / "p") + b"/" + name + (b"" if number % 2 else b"/inner"))
    write(place / "p", {b"-rf more": b"1", "same": b"2"})
    second = scan(place / "p", cache=place / "cache")
    assert host.deploy(second).files_reused > 5
    assert seen(host.release(second.release)) == seen(place / "p")


@pytest.mark.parametrize("where", ['~/a b/it\'s "x"/$HOME/`id`', "/{home}/-rf/*", "~"])
def test_odd_places_work(place: Path, tree: Tree, where: str) -> None:
    home = place / "ho me"
    host = Host(home, where.replace("/{home}", str(home)))
    assert host.deploy(tree).action == "uploaded"
    assert host.deploy(tree).action == "noop"
    assert host.current() == tree.release
    assert host.base.is_relative_to(home)


def test_present_releases_are_switched_to(host: Host, look: Callable[..., Tree], project: Path) -> None:
    first = look()
    host.deploy(first)
    (project / "README.md").write_bytes(b"2")
    second = look()
    assert host.deploy(second, switch=False).action == "uploaded"
    assert host.current() == first.release
    assert host.deploy(second, switch=False).action == "noop"
    done = host.deploy(second)
    assert (done.action, done.previous, done.bytes_sent) == ("switched", first.release, 0)
    assert host.current() == second.release


def test_without_a_cache_the_base_is_learned_from_the_host(host: Host, project: Path) -> None:
    host.deploy(scan(project))
    (project / "README.md").write_bytes(b"2")
    host.transport = Counting(host.home)
    assert host.deploy(scan(project)).files_sent == 1
    assert host.transport.trips == 3


def test_a_file_that_changes_meanwhile_is_refused(host: Host, look: Callable[..., Tree], project: Path) -> None:
    first = look()
    host.deploy(first)
    for change in (b"# Project!\n", b"# Projec", b"# Project and more\n"):
        (project / "README.md").write_bytes(b"new text\n")
        tree = look()
        (project / "README.md").write_bytes(change)
        with pytest.raises(Usage, match=r"README.md changed while"):
            host.deploy(tree)
        assert host.current() == first.release
        assert host.left() == []
        assert host.released() == {first.release}


def test_the_host_itself_notices_other_content(host: Host, place: Path) -> None:
    """Even where size and times do not tell: what was hashed is not what is sent."""
    write(place / "p", {"a": b"12345", "b": b"1"})
    tree = scan(place / "p")
    status = (place / "p" / "a").stat()
    (place / "p" / "a").write_bytes(b"54321")
    os.utime(place / "p" / "a", ns=(status.st_atime_ns, status.st_mtime_ns))
    now = (place / "p" / "a").stat()
    stamp = b"%d %d %d %d" % (now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino)
    entries = tuple(one._replace(stamp=stamp) if one.path == b"a" else one for one in tree.entries)
    forged = Tree(tree.root, entries, tree.manifest, tree.digest, (), tree.source)
    with pytest.raises(Exception, match=r"files differ from the manifest: ./a: FAILED") as caught:
        host.deploy(forged)
    assert getattr(caught.value, "exit_code", None) == 10
    assert host.left() == []
    assert host.released() == set()


def test_a_dry_run_changes_nothing(host: Host, look: Callable[..., Tree], project: Path) -> None:
    (step,) = plan_deploy(host.transport, look(), host.deploy_dir, deadline=soon())
    assert (step.host, step.files) == ("local", 7)
    assert list(host.home.iterdir()) == []
    planned = step.bytes
    assert host.deploy(look()).bytes_sent == planned
    (project / "README.md").write_bytes(b"2")
    tree = look()
    before = digest_of_everything(host.home)
    (step,) = plan_deploy(host.transport, tree, host.deploy_dir, deadline=soon())
    assert step.files == 1
    assert "on top of" in step.what
    assert step.argv[:2] == ("sh", "-c")
    assert digest_of_everything(host.home) == before
    assert host.deploy(tree).bytes_sent == step.bytes
    (step,) = plan_deploy(host.transport, tree, host.deploy_dir, deadline=soon())
    assert (step.what, step.files, step.bytes) == (f"nothing: release {tree.release} is current", 0, 0)


class Greeting(PlainTransport):
    """A host whose login script greets everybody."""

    def _start(self, cmd: Cmd) -> subprocess.Popen[bytes]:
        return super()._start(Cmd(("sh", "-c", 'echo "current users: 3"; echo; exec "$@"', "rc", *cmd.argv)))


def test_a_greeting_is_not_an_answer(host: Host, look: Callable[..., Tree], project: Path) -> None:
    host.transport = Greeting(host.home)
    first = look()
    host.deploy(first)
    (project / "README.md").write_bytes(b"2")
    second = look()
    assert host.deploy(second).previous == first.release
    assert host.deploy(second).action == "noop"
    assert rollback(host.transport, host.deploy_dir, deadline=soon()).release == first.release
    assert len(releases(host.transport, host.deploy_dir, deadline=soon())) == 2
    assert len(prune(host.transport, host.deploy_dir, keep=1, deadline=soon()).kept) == 1


def test_progress_counts_every_byte(host: Host, tree: Tree) -> None:
    told: list[tuple[int, int]] = []
    done = host.deploy(tree, on_progress=lambda sent, total: told.append((sent, total)))
    assert told[-1] == (done.bytes_sent, done.bytes_sent)


def test_too_many_releases_are_remarked(host: Host, look: Callable[..., Tree], project: Path) -> None:
    for number in range(3):
        (project / "README.md").write_bytes(b"%d" % number)
        done = host.deploy(look(), limits=Limits(keep_releases=1))
    assert done.warnings == ("the host keeps 2 releases, 1 more than wanted: `fleet prune` lists them",)


def test_a_read_only_deploy_dir_is_reported(host: Host, tree: Tree) -> None:
    host.base.mkdir(parents=True)
    host.base.chmod(0o555)
    with pytest.raises(RemoteFailed, match="Permission denied"):
        host.deploy(tree)
    assert list(host.base.iterdir()) == []


def test_a_disk_that_is_too_small_is_not_filled(place: Path, tree: Tree) -> None:
    small = 'echo "Filesystem 1024-blocks Used Available Capacity Mounted on"\necho "/dev/a b 100 90 10 90% /x y"\n'
    host = Host(place / "home", options={"path": f"{tool(place / 'bin', 'df', small)}:/usr/bin:/bin"})
    with pytest.raises(Blocked, match=r"0.0 MiB free in .*/home/fleet/hydra, this deploy wants 0.1 MiB"):
        host.deploy(tree)
    assert list(host.home.iterdir()) == []


def test_a_deadline_ends_the_wait(host: Host, tree: Tree) -> None:
    with pytest.raises(Exception, match="did not end within") as caught:
        deploy(host.transport, tree, host.deploy_dir, deadline=Deadline.after(0))
    assert getattr(caught.value, "exit_code", None) == 13
