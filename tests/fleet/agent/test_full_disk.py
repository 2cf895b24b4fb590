"""A host whose disk is full: whatever only looks or stops goes on, and a start says what is missing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from fleet.agent import Agent
from fleet.errors import FleetError, NotFound, RemoteFailed
from fleet.ssh import Cmd, Deadline
from tests.farm.local import LocalTransport
from tests.fleet.release.test_disk import UNSHARE

DEPLOY_DIR = "~/fleet/hydra"
#: Run a command with a deploy_dir on a disk without one free byte.
ON_FULL_DISK = """
mkdir -p "$HOME/fleet/hydra" && mount -t tmpfs -o size=256k none "$HOME/fleet/hydra" || exit 99
mkdir "$HOME/fleet/hydra/runs" "$HOME/fleet/hydra/tools"
cat /dev/zero >"$HOME/fleet/hydra/filled" 2>/dev/null
sh -c "$1"
status=$?
find "$HOME/fleet/hydra" -type f >"$HOME/left"
exit $status
"""


class FullDisk(LocalTransport):
    """A host with no room, for each command anew."""

    def _start(self, cmd: Cmd) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        argv = [*UNSHARE, "sh", "-c", ON_FULL_DISK, "full", cmd.line()]
        return subprocess.Popen(argv, cwd=self.home, env=self._env, stdin=pipe, stdout=pipe, stderr=pipe)


@pytest.fixture
def agent(tmp_path: Path) -> Agent:
    """The agent of such a host."""
    probe = subprocess.run([*UNSHARE, "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True, text=True)
    if probe.returncode != 0:
        pytest.skip(f"this machine allows no mounts in a namespace: {probe.stderr.strip()}")
    (tmp_path / "home").mkdir()
    return Agent(FullDisk(tmp_path / "home", "h"), DEPLOY_DIR)


@pytest.mark.parametrize(("command", "answer"), [("runs", {"runs": []}), ("ps", {"processes": []})])
def test_what_looks_is_run_once(agent: Agent, command: str, answer: object) -> None:
    assert agent.call(command, {"deploy_dir": DEPLOY_DIR}, deadline=Deadline.after(30)) == answer
    assert left(agent) == ["filled"]


def test_a_stop_is_run_once(agent: Agent) -> None:
    request = {"deploy_dir": DEPLOY_DIR, "run": "small-20260131-235959-k3qz", "grace": 1.0, "kill": False}
    with pytest.raises(NotFound, match="there is no run small-20260131-235959-k3qz"):
        agent.call("stop", request, deadline=Deadline.after(30))
    assert left(agent) == ["filled"]


def test_a_start_says_what_is_missing(agent: Agent) -> None:
    with pytest.raises(FleetError, match="No space left on device") as caught:
        agent.call("start", {"deploy_dir": DEPLOY_DIR}, deadline=Deadline.after(30))
    assert isinstance(caught.value, RemoteFailed) and "df -h" in caught.value.example


def left(agent: Agent) -> list[str]:
    """The files that are in deploy_dir behind the last command."""
    assert isinstance(agent.transport, LocalTransport)
    return [Path(line).name for line in (agent.transport.home / "left").read_text().splitlines()]
