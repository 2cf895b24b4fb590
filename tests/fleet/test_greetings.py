"""Logins that print into every command, as start-up files of shells do on many hosts: it is no answer to anything."""

from __future__ import annotations

import shlex
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest

from fleet.agent import Agent
from fleet.download import download
from fleet.errors import RemoteFailed
from fleet.health import gpu_inventory, probe, transfer_rate
from fleet.logs import follow_rows
from fleet.release import deploy, prune, releases, rollback, scan
from fleet.ssh import Cmd, Deadline
from tests.farm.local import LocalTransport
from tests.fleet.download.conftest import save_checkpoint

RUN = "small-lm-20260131-235959-k3qz"
DEPLOY_DIR = "~/fleet/hydra"


class GreetingTransport(LocalTransport):
    """A login whose shell says something on both streams before each command."""

    greeting = ""

    def _start(self, cmd: Cmd) -> subprocess.Popen[bytes]:
        said = f"printf %s {shlex.quote(self.greeting)}; printf hello >&2; {cmd.line()}"
        pipe = subprocess.PIPE
        return subprocess.Popen(
            ["/bin/sh", "-c", said], cwd=self.home, env=self._env, stdin=pipe, stdout=pipe, stderr=pipe
        )


@pytest.fixture(params=["\x1b]0;title\x07", "Welcome\n", 'begin\n{"ok": 1}\nfleet-probe 1'])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> GreetingTransport:
    """A host that greets; the first greeting is the usual one that sets a terminal's title, without a line end."""
    (tmp_path / "home").mkdir()
    transport = GreetingTransport(tmp_path / "home")
    transport.greeting = request.param
    return transport


def soon() -> Deadline:
    """Long enough for anything here."""
    return Deadline.after(30)


def test_releases(host: GreetingTransport, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    found = []
    for text in ("one", "two"):
        (project / "file").write_text(text)
        found.append(deploy(host, scan(project), DEPLOY_DIR, deadline=soon()).release)
    assert rollback(host, DEPLOY_DIR, deadline=soon()).release == found[0]
    assert {row.release for row in releases(host, DEPLOY_DIR, deadline=soon())} == set(found)
    assert not prune(host, DEPLOY_DIR, keep=5, deadline=soon()).items
    for path in (host.home / "fleet").rglob("*"):
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)


def test_looking_at_a_host(host: GreetingTransport) -> None:
    assert probe(host, DEPLOY_DIR, deadline=soon()).state == "up"
    assert transfer_rate(host, deadline=soon()).down > 0


def test_runs_logs_and_downloads(host: GreetingTransport, tmp_path: Path) -> None:
    run = host.home / "fleet" / "hydra" / "runs" / RUN
    save_checkpoint(run, 3, serial=1)
    (run / "events.jsonl").write_text('{"kind": "run.started", "step": 0}\n')
    agent = Agent(host, DEPLOY_DIR)

    def ask(command: str, request: dict[str, Any]) -> dict[str, Any]:
        return agent.call(command, request, deadline=soon())

    assert [row["id"] for row in agent.call("runs", {"deploy_dir": DEPLOY_DIR}, deadline=soon())["runs"]]
    path, stop = f"{DEPLOY_DIR}/runs/{RUN}/events.jsonl", threading.Event()
    rows = follow_rows(lambda: host, path, state_of=lambda: None, cursor=0, stop=stop, deadline=soon(), until_now=True)
    assert [type(row).__name__ for row in rows] == ["Row"]
    download(lambda: host, ask, DEPLOY_DIR, RUN, tmp_path / "to", deadline=soon())
    assert (tmp_path / "to" / "events.jsonl").read_bytes() == (run / "events.jsonl").read_bytes()


def test_a_key(host: GreetingTransport) -> None:
    for word in ("added", "present"):
        result = host.exec(Cmd.script("authorized-keys.sh", "add", "ssh-ed25519", "AAAA", "me"), deadline=soon())
        assert result.out.splitlines()[-1].decode() == word


def test_a_login_that_only_greets_is_told_in_its_own_words(tmp_path: Path) -> None:
    class Refusing(LocalTransport):
        def _start(self, cmd: Cmd) -> subprocess.Popen[bytes]:
            return super()._start(Cmd(("sh", "-c", "echo This account is not available.; exit 1")))

    host = Refusing(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(RemoteFailed, match="This account is not available"):
        deploy(host, scan(tmp_path), DEPLOY_DIR, deadline=soon())
    assert "This account is not available" in (probe(host, DEPLOY_DIR, deadline=soon()).reason or "")
    with pytest.raises(RemoteFailed, match="This account is not available"):
        gpu_inventory(host, DEPLOY_DIR, deadline=soon())
