"""--dry-run prints what would be done, and afterwards everything is as it was, on both sides."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fleet.cli.site import Site

#: Every command that changes something, on a host that has everything, and on one that has nothing.
COMMANDS = [
    ["deploy", "h0,h1"],
    ["deploy", "h0", "--ref", "HEAD", "--no-switch"],
    ["rollback", "h0", "--to", "{release}"],
    ["setup", "h0", "--recreate"],
    ["train", "h0,h1"],
    ["train", "h3", "--gpus", "0,1"],
    ["train", "h0", "--no-deploy", "--follow"],
    ["resume", "h0", "--run", "{failed}"],
    ["stop", "h0,h1"],
    ["stop", "h0", "--run", "{live}", "--kill"],
    ["stop", "h0", "--all-runs"],
    ["sync-keys", "h0,h1"],
    ["sync-keys", "h0", "--remove"],
    ["download", "h0", "--run", "{done}"],
    ["prune", "h0,h1", "--keep", "1"],
    ["trust", "unknown"],
    ["gpuinfo", "h0", "--save", "{root}/inventories"],
    ["run", "h0", "--", "touch", "made"],
]


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """Every file below a folder: mode, time of the last change, content or target. Caches and live runs excepted."""
    found: dict[str, tuple[object, ...]] = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if f"{name}/".startswith(".fleet/cache/") or "/runs/live-" in f"/{name}" or "/.git/" in f"/{name}":
            continue
        facts = path.lstat()
        content = os.readlink(path) if path.is_symlink() else ""
        if path.is_file() and not path.is_symlink():
            content = hashlib.sha256(path.read_bytes()).hexdigest()
        # Looking at a folder may not change it, but making and removing a file in it does.
        found[name] = (facts.st_mode, facts.st_mtime_ns, content)
    return found


@pytest.fixture(scope="module")
def live(built: Site) -> Iterator[str]:
    """One live run for all of these tests: none of them may end it."""
    yield built.live()
    built.end_runs()


@pytest.fixture
def changed(built: Site) -> Iterator[None]:
    """A tree that differs from what is deployed."""
    (built.root / "changed.txt").write_text("not deployed yet")
    yield
    (built.root / "changed.txt").unlink()


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_nothing_is_changed_anywhere(built: Site, live: str, changed: None, command: list[str]) -> None:
    [current] = (built.deploy_dir / "hosts").glob("*/current")
    words = {
        "release": current.resolve().name,
        "live": live,
        "failed": built.failed,
        "done": built.done,
        "root": built.root,
    }
    places = [built.root, *(host.home for host in built.farm.hosts)]
    before = [snapshot(place) for place in places]
    end = command.index("--") if "--" in command else len(command)
    argv = [word.format(**words) for word in [*command[:end], "--dry-run", *command[end:]]]
    done = built.fleet(*argv)
    assert [snapshot(place) for place in places] == before
    assert done.out, "a plan is printed"


def test_the_plan_of_a_start_has_every_step_in_order(built: Site, changed: None) -> None:
    plan = built.fleet("train", "h0", "--dry-run", "--json", "--", "--set", "training.steps=7").data["h0"]
    steps = [step["what"] for step in plan["steps"]]
    # The second says that the live run stays on its release.
    assert [text.split()[0] for text in steps] == ["send", "run", "make", "send", "reserve"]
    assert "secrets WANDB_API_KEY" in steps[3]
    assert plan["steps"][0]["files"] == 1 and plan["steps"][0]["bytes"] > 0 and plan["steps"][0]["argv"]
    assert plan["steps"][-1]["argv"] == plan["argv"] and "training.steps=7" in plan["argv"]
    text = built.fleet("train", "h0", "--dry-run").out
    assert "h0: 1. send release" in text and "profile cpu" in text


def test_plans_refuse_what_the_command_would_refuse(built: Site, live: str) -> None:
    built.fleet("stop", "h0", "--run", "nothing", "--dry-run", expect=9)
    built.fleet("resume", "h0", "--run", live, "--dry-run", expect=6)
    built.fleet("rollback", "h0", "--to", "0123456789abcdef", "--dry-run", expect=9)
    built.fleet("train", "h1", "--no-deploy", "--dry-run", expect=9)
    built.fleet("deploy", "h0", "--max-size", "0.001", "--dry-run", expect=2)


def test_looking_leaves_a_host_without_fleet_as_it_is(built: Site) -> None:
    home = built.farm.hosts[1].home
    shutil.rmtree(home / "fleet", ignore_errors=True)
    before = snapshot(home)
    for command in (["status"], ["runs"], ["ps"], ["doctor"], ["gpuinfo"]):
        built.fleet(*command, "h1")
    built.fleet("logs", "h1", expect=9)
    built.fleet("events", "h1", expect=9)
    assert snapshot(home) == before
