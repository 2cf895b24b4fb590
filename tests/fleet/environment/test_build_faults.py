"""Builds that are cut, killed, repeated or raced: afterwards there is a whole environment or none."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fleet.environment import Ready
from fleet.errors import Busy, DeadlinePassed, NotFound, RemoteFailed
from tests.fleet.environment.hosts import Host
from tests.fleet.environment.index import project
from tests.fleet.environment.interpreters import make_interpreter

PYPROJECT = project("torch", "alpha")
PINS = "alpha==1.0\nbeta==2.0\ntorch==2.12.0\n"
RACERS = 4


@pytest.fixture
def ready_to_build(host: Host) -> Host:
    """A host with a release and nothing else."""
    host.release(constraints_txt=PINS, pyproject_toml=PYPROJECT)
    return host


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, make_hosts: Callable[[Path], Host]) -> tuple[Host, Ready]:
    """A host with an environment that its tests damage and repair; nothing is installed, so a build is short."""
    host = make_hosts(tmp_path_factory.mktemp("standing") / "home")
    host.release(constraints_txt=PINS, pyproject_toml=project("torch"))
    return host, host.setup()


def until(condition: Callable[[], bool], seconds: float = 10) -> None:
    """Wait for a condition."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def processes_naming(text: str) -> list[int]:
    """Processes with this text among their arguments."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                arguments = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in arguments and int(name) != os.getpid():
                found.append(int(name))
    return found


def at_the_installers_first_word(host: Host, act: Callable[[], None]) -> Ready:
    """Set up, and do something while the installer runs."""

    class Listener(list):
        def append(self, line: str) -> None:
            super().append(line)
            if line.startswith("Looking in links"):
                act()

    host.said = Listener()
    try:
        return host.setup()
    finally:
        host.said = []


def test_a_killed_build_is_built_anew(ready_to_build: Host) -> None:
    host = ready_to_build

    def kill() -> None:
        [lock] = (host.root / "envs").glob("*.lock")
        found = re.match(r"process (\d+) on ", lock.read_text())
        assert found
        os.kill(int(found[1]), signal.SIGKILL)

    with pytest.raises(RemoteFailed, match=r"without an answer \(status 137\)") as caught:
        at_the_installers_first_word(host, kill)
    assert "an incomplete environment is built anew" in caught.value.fix
    until(lambda: not processes_naming(str(host.root / "envs")))
    [left] = host.environments()
    assert not (host.root / "envs" / left / ".fleet-ready.json").exists()
    ready = host.setup()
    assert (ready.action, ready.environment, ready.packages["alpha"]) == ("built", left, "1.0")


def test_a_controller_that_goes_away_ends_the_build(ready_to_build: Host) -> None:
    host = ready_to_build

    def leave() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        at_the_installers_first_word(host, leave)
    until(lambda: not processes_naming(str(host.root / "envs")))
    assert host.environments() == []
    assert host.setup().action == "built"


def test_a_folder_without_a_record_is_rebuilt(standing: tuple[Host, Ready]) -> None:
    host, ready = standing
    folder = host.root / "envs" / ready.environment
    (folder / ".fleet-ready.json").unlink()
    (folder / "bin" / "junk").write_text("left by somebody who died")
    again = host.setup()
    assert (again.environment, again.action) == (ready.environment, "built")
    assert not (folder / "bin" / "junk").exists()


def test_a_damaged_record_is_said_and_replaced(standing: tuple[Host, Ready]) -> None:
    host, ready = standing
    (host.root / "envs" / ready.environment / ".fleet-ready.json").write_text('{"schema": 1, "torn')
    with pytest.raises(RemoteFailed, match="cannot be understood") as caught:
        host.setup()
    assert "--recreate" in caught.value.example
    assert host.setup(recreate=True).action == "built"


def test_a_vanished_interpreter_is_noticed(standing: tuple[Host, Ready], tmp_path: Path) -> None:
    host, ready = standing
    python = host.root / "envs" / ready.environment / "bin" / "python"
    python.unlink()
    python.symlink_to(tmp_path / "gone")
    again = host.setup()
    assert (again.action, again.environment) == ("built", ready.environment)
    assert host.run(again, "print(1)") == "1"


def test_simultaneous_setups_build_once(ready_to_build: Host) -> None:
    host = ready_to_build

    def attempt(_: int) -> str:
        try:
            return host.setup().action
        except Busy as busy:
            return f"busy ({busy.exit_code}): {busy.what}"

    with ThreadPoolExecutor(RACERS) as racers:
        outcomes = list(racers.map(attempt, range(RACERS)))
    assert outcomes.count("built") == 1
    others = set(outcomes) - {"built", "ready"}
    assert all(re.match(r"busy \(6\): local: this environment is being built by process \d+ on", one) for one in others)
    assert host.setup().action == "ready"


def test_what_a_live_run_uses_is_not_recreated(standing: tuple[Host, Ready]) -> None:
    host, ready = standing
    run = host.root / "runs" / "demo-1"
    run.mkdir(parents=True)
    (run / "state.json").write_text(json.dumps({"state": "running", "environment": ready.environment}))
    with (run / "supervisor.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(Busy, match="run demo-1 uses environment"):
            host.setup(recreate=True)
    assert host.setup().action == "ready", "the environment was touched"
    assert host.setup(recreate=True).action == "built", "a run whose lock is free is not live"


def test_a_build_that_hangs_ends_at_the_deadline(host: Host, tmp_path: Path) -> None:
    code = "import sys, time; '/envs/' in sys.prefix and time.sleep(600)"
    hanging = make_interpreter(tmp_path / "hanging", code=code)
    host.release(constraints_txt=PINS, pyproject_toml=project("torch"))
    with pytest.raises(DeadlinePassed, match="did not end within"):
        host.setup(python=str(hanging), seconds=2)
    until(lambda: not processes_naming(str(host.root / "envs")))
    assert host.environments() == []


def test_a_release_that_is_not_there(host: Host) -> None:
    with pytest.raises(NotFound, match="no release r9") as caught:
        host.setup("r9")
    assert caught.value.exit_code == 9
