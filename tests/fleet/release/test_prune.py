"""Retention: lists first, and removes nothing that anybody needs."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from fleet.errors import Busy
from fleet.release import Prunable, Pruned, Tree, prune
from tests.fleet.release.places import Host, digest_of_everything, needs_git, soon, write
from tests.fleet.release.test_sharing import live_run

pytestmark = needs_git
DAY = 86_400


def listed(host: Host, **options: int) -> Pruned:
    """What could go."""
    return prune(host.transport, host.deploy_dir, deadline=soon(), **options)  # type: ignore[arg-type]


def removed(host: Host, items: tuple[Prunable, ...], **options: int) -> Pruned:
    """What went."""
    return prune(host.transport, host.deploy_dir, remove=items, deadline=soon(), **options)  # type: ignore[arg-type]


def names(pruned: Pruned, kind: str) -> set[str]:
    """Names of one kind."""
    return {item.name for item in pruned.items if item.kind == kind}


def age(path: Path, days: float) -> None:
    """Make a path this old."""
    then = time.time() - days * DAY
    os.utime(path, (then, then))


def environment(host: Host, name: str, days: float, *, ready: bool = True) -> Path:
    """An environment on the host."""
    folder = host.base / "envs" / name
    write(folder, {"bin/python": b"x", **({".fleet-ready.json": b"{}"} if ready else {})})
    age(folder, days)
    return folder


def test_a_list_changes_nothing(host: Host, many: list[str]) -> None:
    before = digest_of_everything(host.home)
    found = listed(host)
    assert names(found, "release") == set(many[:2])
    assert not found.removed
    assert all(item.bytes > 0 for item in found.items)
    assert digest_of_everything(host.home) == before


def test_only_what_was_listed_goes(host: Host, many: list[str]) -> None:
    found = listed(host)
    (one,) = (item for item in found.items if item.name == many[0])
    forged = Prunable("release", many[6], 1)
    elsewhere = Prunable("release", "../../../elsewhere", 1)
    write(host.home, {"elsewhere/file": b"1"})
    done = removed(host, (one, forged, elsewhere))
    assert [item.name for item in done.items] == [many[0]]
    assert done.removed
    assert host.released() == set(many[1:])
    assert host.current() == many[6]
    assert host.left() == []


def test_current_previous_and_pinned_releases_stay(host: Host, many: list[str]) -> None:
    from fleet.release import rollback

    rollback(host.transport, host.deploy_dir, to=many[0], deadline=soon())
    rollback(host.transport, host.deploy_dir, to=many[1], deadline=soon())
    write(host.base / "hosts" / "0123456789abcdef", {"current": f"../../releases/{many[2]}"})
    with live_run(host, "small-1", many[3]):
        found = listed(host, keep=1)
        assert names(found, "release") == {many[4], many[5]}
        why = {kept.name: kept.why for kept in found.kept}
        assert why.pop(many[3]) == "run small-1 uses it"
        assert why == dict.fromkeys(many[:3], "it is current or previous")
        removed(host, found.items, keep=1)
        assert host.released() == {*many[:4], many[6]}
    assert names(listed(host, keep=1), "release") == {many[3]}


def test_a_run_that_started_since_the_list_keeps_its_release(host: Host, many: list[str]) -> None:
    found = listed(host)
    with live_run(host, "small-1", many[0]):
        assert [item.name for item in removed(host, found.items).items] == [many[1]]
        assert many[0] in host.released()


def test_what_fleet_did_not_make_stays(host: Host, many: list[str]) -> None:
    write(host.base / "releases", {"mine/file": b"1", "0123456789abcdef/file": b"2", "notes": b"3", "feed": "mine"})
    write(host.base, {"envs/mine/file": b"4"})
    found = listed(host, keep=0)
    assert names(found, "release") == set(many[:5])
    assert names(found, "environment") == set()


def test_environments_that_nobody_uses_go(host: Host, tree: Tree) -> None:
    host.deploy(tree)
    for number in range(6):
        environment(host, f"env{number}", days=10 + number)
    environment(host, "half", days=99, ready=False)
    write(host.base / "runs" / "old-1", {"launch.json": b'{"environment": "env3"}'})
    found = listed(host, keep=2)
    assert names(found, "environment") == {"env2", "env4", "env5"}
    assert [kept.why for kept in found.kept] == ["one of the newest runs used it"]
    with live_run(host, "small-1", "0" * 16) as run:
        (run / "launch.json").write_text('{"python":"envs/env4/bin/python"}')
        assert names(listed(host, keep=2), "environment") == {"env2", "env5"}
        removed(host, found.items, keep=2)
    assert {path.name for path in (host.base / "envs").iterdir()} == {"env0", "env1", "env3", "env4", "half"}


def test_an_environment_that_is_being_built_stays(host: Host, tree: Tree) -> None:
    import fcntl

    host.deploy(tree)
    environment(host, "env1", days=9)
    with (host.base / "envs" / "env1.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert names(listed(host, keep=0), "environment") == set()
    assert names(listed(host, keep=0), "environment") == {"env1"}


def test_old_logs_of_ended_runs_go_but_not_their_end(host: Host, tree: Tree) -> None:
    host.deploy(tree)
    segments = [f"{number:020d}.seg" for number in (0, 100, 200)]
    for run in ("ended-1", "live-1"):
        write(host.base / "runs" / run, {f"log/{name}": b"x" for name in segments})
        write(host.base / "runs" / run, {"checkpoints/step-1/00000000000000000000.seg": b"x", "train.log": b"y"})
        for path in (host.base / "runs" / run).rglob("*"):
            age(path, 40)
    write(host.base, {"envs/gone.log": b"1", "envs/there.log": b"2", "envs/recent.log": b"3", "envs/there/x": b"4"})
    for name in ("gone", "there"):
        age(host.base / "envs" / f"{name}.log", 40)
    (host.base / "runs" / "live-1").rename(host.base / "aside")
    with live_run(host, "live-1", tree.release) as run:
        (host.base / "aside" / "log").rename(run / "log")
        found = listed(host)
        assert names(found, "log") == {f"ended-1/{segments[0]}", f"ended-1/{segments[1]}", "envs/gone.log"}
        assert names(listed(host, log_days=50), "log") == set()
        removed(host, found.items)
        assert len(list((run / "log").iterdir())) == 3
    left = {
        str(path.relative_to(host.base / "runs" / "ended-1"))
        for path in (host.base / "runs").rglob("*.seg")
        if "ended-1" in path.parts
    }
    assert left == {f"log/{segments[2]}", "checkpoints/step-1/00000000000000000000.seg"}
    assert not (host.base / "envs" / "gone.log").exists()
    assert (host.base / "envs" / "there.log").exists()


def test_what_dead_receivers_left_is_listed_and_goes(host: Host, tree: Tree) -> None:
    host.deploy(tree)
    write(host.machine / "tmp", {"up-1/tree/file": b"1" * 9000})
    found = listed(host)
    assert names(found, "temporary") == {"up-1"}
    assert names(removed(host, found.items), "temporary") == {"up-1"}
    assert host.left() == []


def test_a_deploy_at_work_is_not_disturbed(host: Host, many: list[str]) -> None:
    import fcntl

    found = listed(host)
    with (host.machine / "locks" / "deploy").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("process 4711 of ada\n")
        file.flush()
        with pytest.raises(Busy, match="process 4711 of ada"):
            removed(host, found.items)
    assert host.released() == set(many)


def test_a_host_without_anything_has_nothing_to_prune(host: Host) -> None:
    assert listed(host).items == ()
    assert list(host.home.iterdir()) == []
