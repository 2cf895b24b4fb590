"""Going back: the release is verified again, and the one before is remembered."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import NotFound, Unreachable, Unverified, Usage
from fleet.release import Tree, releases, rollback
from fleet.ssh import Cmd, Result
from tests.farm.cutting import lost
from tests.fleet.release.places import Host, PlainTransport, needs_git, soon, write

pytestmark = needs_git


@pytest.fixture
def three(host: Host, many: list[str]) -> list[str]:
    """Three releases, oldest first, the last one current."""
    for name in many[:4]:
        host.release(name).chmod(0o755)
        host.release(name).rename(host.home / name)
    return many[4:]


def test_the_previous_release_is_the_default(host: Host, three: list[str]) -> None:
    done = rollback(host.transport, host.deploy_dir, deadline=soon())
    assert (done.release, done.previous) == (three[1], three[2])
    assert host.current() == three[1]
    assert rollback(host.transport, host.deploy_dir, deadline=soon()).release == three[2], "and back again"


def test_an_answer_that_was_lost_is_not_to_be_asked_for_again_blindly(host: Host, three: list[str]) -> None:
    class Losing(PlainTransport):
        def exec(self, cmd: Cmd, **options: Any) -> Result:
            super().exec(cmd, **options)
            raise lost(self.name)

    with pytest.raises(Unreachable) as caught:
        rollback(Losing(host.home), host.deploy_dir, deadline=soon())
    assert host.current() == three[1]
    assert "--list" in caught.value.example
    assert "may have been made" in caught.value.fix
    with pytest.raises(Unreachable) as caught:
        rollback(Losing(host.home), host.deploy_dir, to=three[2], deadline=soon())
    assert "--list" not in caught.value.example


def test_any_release_can_be_named_by_its_beginning(host: Host, three: list[str]) -> None:
    assert rollback(host.transport, host.deploy_dir, to=three[0], deadline=soon()).release == three[0]
    assert rollback(host.transport, host.deploy_dir, to=three[1][:6], deadline=soon()).previous == three[0]
    assert rollback(host.transport, host.deploy_dir, to=three[1], deadline=soon()).previous == three[1]
    assert host.current() == three[1]


def test_what_is_not_there_is_not_found(host: Host, three: list[str]) -> None:
    with pytest.raises(NotFound, match="no release 0123456789abcdef"):
        rollback(host.transport, host.deploy_dir, to="0123456789abcdef", deadline=soon())
    (host.release(three[1][:4] + "000000000000")).mkdir()
    with pytest.raises(NotFound, match=f"several releases begin with {three[1][:4]}"):
        rollback(host.transport, host.deploy_dir, to=three[1][:4], deadline=soon())
    for wrong in ("", "abc", "../x", "*", "ABCDEF", "-rf"):
        with pytest.raises(Usage, match="no release id"):
            rollback(host.transport, host.deploy_dir, to=wrong, deadline=soon())
    assert host.current() == three[2]


def test_without_a_previous_release_there_is_nothing_to_go_back_to(host: Host, tree: Tree) -> None:
    with pytest.raises(NotFound, match="no previous release"):
        rollback(host.transport, host.deploy_dir, deadline=soon())
    host.deploy(tree)
    with pytest.raises(NotFound, match="no previous release"):
        rollback(host.transport, host.deploy_dir, deadline=soon())


def damage(release: Path, what: str) -> None:
    """Change a release behind fleet's back."""
    subprocess.run(["chmod", "-R", "u+w", str(release)], check=True)
    if what == "content":
        (release / "README.md").write_bytes(b"9")
    elif what == "missing":
        (release / "README.md").unlink()
    elif what == "extra":
        write(release, {"hydra/extra.py": b"1"})
    elif what == "extra link":
        write(release, {"extra": "README.md"})
    elif what == "mode":
        (release / "README.md").chmod(0o555)
    elif what == "no mode":
        (release / "trainer.py").chmod(0o444)
    elif what == "swapped modes":
        (release / "README.md").chmod(0o555)
        (release / "trainer.py").chmod(0o444)
    elif what.startswith("link"):
        (release / "manifests" / "latest.yaml").unlink()
        write(release, {"manifests/latest.yaml": "other.yaml" if what == "link" else b"default.yaml"})
    elif what == "manifest":
        manifest = release / ".fleet" / "manifest"
        manifest.write_bytes(manifest.read_bytes().replace(b"README.md", b"README.mx"))
    elif what == "sums":
        (release / ".fleet" / "SHA256SUMS").write_bytes(b"")
    else:
        (release / ".fleet" / "manifest").unlink()


DAMAGES = {
    "content": "./README.md: FAILED",
    "missing": "./README.md",
    "extra": "other names than the 7",
    "extra link": "other names than the 7",
    "mode": "may be executed",
    "no mode": "may be executed",
    "swapped modes": "may be executed",
    "link": "points elsewhere",
    "link that became a file": "points elsewhere",
    "manifest": "its manifest is not the one that its name stands for",
    "sums": "its list of checksums does not belong",
    "no manifest": "not whole",
}


def test_what_no_longer_verifies_is_not_made_current(host: Host, three: list[str]) -> None:
    release, aside = host.release(three[1]), host.home / "aside"
    for what, reason in DAMAGES.items():
        subprocess.run(["cp", "-a", str(release), str(aside)], check=True)
        damage(release, what)
        with pytest.raises(Unverified, match=reason):
            rollback(host.transport, host.deploy_dir, deadline=soon())
        assert host.current() == three[2]
        assert host.left() == []
        shutil.rmtree(release)
        aside.rename(release)
    assert rollback(host.transport, host.deploy_dir, deadline=soon()).release == three[1], "each damage was undone"


def test_releases_are_listed_with_what_is_known_of_them(host: Host, three: list[str]) -> None:
    (host.release(three[0]) / ".fleet").chmod(0o755)
    (host.release(three[0]) / ".fleet" / "release.json").unlink()
    write(host.base / "releases", {"notes.txt": b"1", "deadbeef/file": b"2", "zzzz/.fleet/manifest": b"3"})
    listed = releases(host.transport, host.deploy_dir, deadline=soon())
    assert [info.release for info in listed] == three[::-1]
    newest, previous, oldest = listed
    assert (newest.current, newest.previous, previous.current, previous.previous) == (True, False, False, True)
    assert (newest.files, newest.dirty, len(newest.commit or "")) == (7, True, 40)
    assert newest.age_seconds > 10_000_000
    assert (oldest.files, oldest.created, oldest.commit, oldest.dirty) == (None, None, None, None)


def test_a_host_without_releases_lists_none(host: Host) -> None:
    assert releases(host.transport, host.deploy_dir, deadline=soon()) == []
    assert list(host.home.iterdir()) == []
