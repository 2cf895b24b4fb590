"""Hosts whose tools are few or old: what is missing is done by Python, with the same result."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.errors import RemoteFailed
from fleet.release import Tree, prune, releases, rollback
from tests.farm.fakes import tool
from tests.fleet.release.places import Host, needs_git, seen, soon, write

REFUSE = 'echo "$0: unrecognized option: $*" >&2; exit 1'
#: What old busybox tools do not know. `real` is the system's program.
BUSYBOX = {
    "sha256sum": 'case ${1-} in --help) echo "Usage: sha256sum [-c[sw]] [FILE]..." ;; -c) exec real "$@" ;; --*) '
    + REFUSE
    + ' ;; *) exec real "$@" ;; esac',
    "mv": 'case $* in *--help*) echo "Usage: mv [-fin] SOURCE DEST" ;; *-T*) '
    + REFUSE
    + ' ;; *) exec real "$@" ;; esac',
    "sync": "case $* in *--help*) echo 'Usage: sync' ;; -*) " + REFUSE + " ;; *) exit 0 ;; esac",
    "tar": 'case ${1-} in -xomf) exec real "$@" ;; *) ' + REFUSE + " ;; esac",
    "timeout": 'case ${1-} in -t) shift 2; exec "$@" ;; *) exec "$@" ;; esac',
}


def busybox(folder: Path) -> Path:
    """A folder of tools that know little."""
    for name, body in BUSYBOX.items():
        real = next(f"{place}/{name}" for place in ("/usr/bin", "/bin") if os.access(f"{place}/{name}", os.X_OK))
        tool(folder, name, body.replace("real", real) + "\n")
    return folder


#: What a host lacks -> what a deploy remarks.
LACKS = {
    "flock sha256sum timeout": "the host has no flock, sha256sum, timeout: Python takes their place",
}


def no_links() -> str:
    """A `cp` on a file system without hard links."""
    return "case $* in *-al*) echo 'cp: cannot create hard link: Operation not permitted' >&2; exit 1 ;; esac\n" + (
        'exec /usr/bin/cp "$@"\n'
    )


def shell(folder: Path, name: str) -> Path:
    """A folder in which `sh` is another shell."""
    folder.mkdir()
    (folder / "sh").symlink_to(f"/bin/{name}")
    return folder


#: Hosts whose tools know little -> the folder to put first on their PATH.
KNOWS: dict[str, Callable[[Path], Path]] = {
    "busybox": busybox,
    "bash as sh": lambda place: shell(place, "bash"),
    "no hard links": lambda place: tool(place, "cp", no_links()),
    "no copies": lambda place: tool(place, "cp", "exit 1\n"),
}


@needs_git
@pytest.mark.parametrize("kind", [*LACKS, *KNOWS])
def test_a_host_without_some_tools(
    place: Path, look: Callable[..., Tree], project: Path, kind: str, path_without: Callable[..., str]
) -> None:
    path = path_without(*kind.split()) if kind in LACKS else f"{KNOWS[kind](place / 'bin')}:/usr/bin:/bin"
    host = Host(place / "home", options={"path": path})
    write(project, {f"many/{number}": b"%d" % number for number in range(256)})
    first = look()
    done = host.deploy(first)
    assert done.action == "uploaded"
    assert done.warnings == ((LACKS[kind],) if kind in LACKS else ())
    (project / "README.md").write_bytes(b"2")
    (project / "trainer.py").unlink()
    (project / "trainer.py").symlink_to("README.md")
    second = look()
    done = host.deploy(second)
    assert done.files_reused == (0 if kind == "no copies" else len(second.entries) - 2)
    assert host.deploy(second).action == "noop"
    for tree in (second, first):
        expected = {entry.path for entry in tree.entries}
        assert set(seen(host.release(tree.release))) == expected
    assert rollback(host.transport, host.deploy_dir, deadline=soon()).release == first.release
    assert host.current() == first.release
    (host.release(second.release) / "many").chmod(0o755)
    (host.release(second.release) / "many" / "7").unlink()
    with pytest.raises(Exception, match="many/7") as caught:
        rollback(host.transport, host.deploy_dir, deadline=soon())
    assert getattr(caught.value, "exit_code", None) == 10
    listed = releases(host.transport, host.deploy_dir, deadline=soon())
    assert {info.release for info in listed} == {first.release, second.release}
    assert prune(host.transport, host.deploy_dir, keep=0, deadline=soon()).items == ()
    assert host.left() == []


def test_links_that_cannot_be_made_become_copies(place: Path, look: Callable[..., Tree], project: Path) -> None:
    host = Host(place / "home", options={"path": f"{tool(place / 'bin', 'cp', no_links())}:/usr/bin:/bin"})
    first = look()
    host.deploy(first)
    (project / "README.md").write_bytes(b"2")
    second = look()
    assert host.deploy(second).files_reused == 6
    same = [(host.release(tree.release) / "trainer.py").stat().st_ino for tree in (first, second)]
    assert same[0] != same[1]


@pytest.mark.parametrize("missing", [["flock", "python3*"], ["sha256sum", "python3*"]])
def test_without_tool_and_python_the_host_is_told_what_it_lacks(
    place: Path, tree: Tree, missing: list[str], path_without: Callable[..., str]
) -> None:
    host = Host(place / "home", options={"path": path_without(*missing)})
    with pytest.raises(RemoteFailed, match=f"{missing[0]}.*python3"):
        host.deploy(tree)


def test_the_named_python_is_used(place: Path, tree: Tree, path_without: Callable[..., str]) -> None:
    host = Host(place / "home", options={"path": path_without("flock", "python3*")})
    python = tool(place / "conda", "python", f'echo used >>"{place}/used"\nexec /usr/bin/python3 "$@"\n') / "python"
    assert host.deploy(tree, python=str(python)).action == "uploaded"
    assert (place / "used").exists()
