"""Several deployers, several hosts with one home, live runs: nobody's work is disturbed."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fleet.errors import Busy, Unverified
from fleet.release import Deployed, Tree, plan_deploy, releases, rollback, scan
from fleet.ssh import Cmd, Deadline, Result
from tests.farm.fakes import tool
from tests.fleet.release.places import Host, PlainTransport, digest_of_everything, needs_git, seen, soon, write

pytestmark = needs_git


class Waiting(PlainTransport):
    """Stops in the middle of an upload until it is told to go on."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.go_on = threading.Event()

    def stream_in(self, cmd: Cmd, chunks: Iterable[bytes], *, deadline: Deadline) -> Result:
        return super().stream_in(cmd, self._slowly(chunks), deadline=deadline)

    def _slowly(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            yield chunk[:600]
            assert self.go_on.wait(30)
            yield chunk[600:]


@contextmanager
def live_run(host: Host, name: str, release: str, lock: str = "supervisor.lock") -> Iterator[Path]:
    """A run whose supervisor lives as long as this."""
    run = host.base / "runs" / name
    run.mkdir(parents=True)
    (run / "launch.json").write_text(json.dumps({"release": release, "environment": "env-" + release}))
    (run / "state.json").write_text(json.dumps({"state": "running", "release": release}, indent=1))
    with (run / lock).open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield run


def holder(host: Host) -> str:
    """What the lock of the host's releases says of its holder; looking at the lock itself would take it."""
    paths = list(host.base.glob("hosts/*/locks/deploy"))
    return paths[0].read_text() if paths else ""


def test_of_two_deployers_one_is_told_who_is_at_work(host: Host, tree: Tree, place: Path) -> None:
    write(place / "p", {"a": b"1"})
    first, second = scan(place / "p"), tree
    waiting = Waiting(host.home)
    done: list[Deployed] = []
    thread = threading.Thread(target=lambda: done.append(host.deploy(second, transport=waiting)))
    thread.start()
    try:
        while not holder(host):
            assert thread.is_alive()
        with pytest.raises(Busy, match=r"process \d+ of tester"):
            host.deploy(first)
    finally:
        waiting.go_on.set()
        thread.join()
    assert done[0].action == "uploaded"
    assert host.current() == second.release
    assert host.left() == []
    assert host.deploy(first).action == "uploaded"
    with (host.machine / "locks" / "deploy").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        with pytest.raises(Busy, match="another deploy is at work"):
            rollback(host.transport, host.deploy_dir, deadline=soon())
    assert rollback(host.transport, host.deploy_dir, deadline=soon()).release == second.release


def test_what_others_left_is_removed_under_the_lock(host: Host, look: Callable[..., Tree], project: Path) -> None:
    host.deploy(look())
    left = host.machine / "tmp" / "up-4711"
    write(left, {"tree/deep/file": b"1", "tree/link": "/etc", ".hidden": b"2"})
    write(host.machine / "tmp", {".dot": b"3", "link": str(project)})
    (left / "tree" / "deep").chmod(0o555)
    (left / "tree").chmod(0o500)
    (project / "README.md").write_bytes(b"2")
    host.deploy(look())
    assert host.left() == []
    assert (project / "trainer.py").exists(), "links are removed, not followed"


def test_hosts_with_one_home_share_releases_and_nothing_else(place: Path, look: Callable[..., Tree]) -> None:
    hosts = []
    for name in ("a", "b"):
        path = f"{tool(place / name, 'uname', f'echo host-{name}')}:/usr/bin:/bin"
        hosts.append(Host(place / "home", options={"path": path}))
    tree = look()
    assert hosts[0].deploy(tree).action == "uploaded"
    assert hosts[1].deploy(tree).action == "switched"
    machines = sorted((hosts[0].base / "hosts").iterdir())
    assert len(machines) == 2
    assert all(os.readlink(machine / "current").endswith(tree.release) for machine in machines)
    assert all({path.name for path in machine.iterdir()} == {"current", "locks", "tmp"} for machine in machines)


def test_a_machine_is_named_as_the_trainer_names_it(host: Host, tree: Tree) -> None:
    from hydra.runs import machine_id

    host.deploy(tree)
    assert host.machine.name == machine_id()


def test_a_live_run_is_reported_and_keeps_its_release(host: Host, look: Callable[..., Tree], project: Path) -> None:
    first = look()
    host.deploy(first)
    with live_run(host, "small-1", first.release), live_run(host, "leftover-1", first.release, lock="lock"):
        write(host.base / "runs" / "ended-1", {"state.json": b'{"state": "completed"}', "supervisor.lock": b""})
        write(host.base / "runs" / "lost-1", {"state.json": b'{"state": "running"}', "supervisor.lock": b""})
        before = digest_of_everything(host.release(first.release))
        (project / "README.md").write_bytes(b"2")
        second = look()
        steps = plan_deploy(host.transport, second, host.deploy_dir, deadline=soon())
        assert [step.what for step in steps[1:]] == [
            f"run leftover-1 stays on release {first.release}",
            f"run small-1 stays on release {first.release}",
        ]
        assert host.deploy(second).pinned_by == ("leftover-1", "small-1")
        assert host.deploy(second).pinned_by == ("leftover-1", "small-1")
        assert digest_of_everything(host.release(first.release)) == before
        pins = {info.release: info.pinned_by for info in releases(host.transport, host.deploy_dir, deadline=soon())}
        assert pins == {first.release: ("leftover-1", "small-1"), second.release: ()}
    assert host.deploy(second).pinned_by == ()


def test_a_damaged_release_under_a_live_run_is_left_alone(host: Host, look: Callable[..., Tree], project: Path) -> None:
    first = look()
    host.deploy(first)
    (project / "README.md").write_bytes(b"2")
    host.deploy(look())
    damaged = host.release(first.release)
    damaged.chmod(0o755)
    (damaged / "written-by-the-run").write_bytes(b"1")
    (project / "README.md").write_bytes(b"# Project\n")
    with live_run(host, "small-1", first.release):
        before = digest_of_everything(damaged)
        with pytest.raises(Unverified, match="a live run uses it"):
            host.deploy(look())
        assert digest_of_everything(damaged) == before
    assert host.deploy(look()).action == "uploaded"
    assert not (damaged / "written-by-the-run").exists()
    assert seen(damaged).keys() == {entry.path for entry in first.entries}


def test_a_start_is_not_disturbed_by_looking(host: Host, tree: Tree) -> None:
    """Looking takes the lock for a moment, shared: whoever starts tries again for two seconds."""
    host.deploy(tree)
    write(host.base / "runs" / "r-1", {"state.json": b'{"state": "running"}', "supervisor.lock": b""})
    assert host.deploy(tree).pinned_by == ()
    with (host.base / "runs" / "r-1" / "supervisor.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
