"""Accounts that let in and run no commands: what they said instead is told, and where to look."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.agent import Agent
from fleet.errors import RemoteFailed
from fleet.ssh import Cmd, Deadline, Endpoint, Pool
from tests.farm.local import LocalTransport
from tests.farm.sshd import Farm


class Refusing(LocalTransport):
    """A host whose login shell is another program."""

    def __init__(self, home: Path, shell: str) -> None:
        super().__init__(home, "h")
        self._shell = shell

    def _start(self, cmd: Cmd) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [self._shell, "-c", cmd.line()], cwd=self.home, env=self._env, stdin=pipe, stdout=pipe, stderr=pipe
        )


@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("exit 1", "exit status 1, stdout empty, stderr empty"),
        (
            "echo 'This account is currently not available.'; exit 1",
            "stdout 'This account is currently not available.'",
        ),
        (
            "echo 'no shell \033[31mhere' >&2; exit 77",
            r"exit status 77, stdout empty, stderr 'no shell \\x1b\[31mhere'",
        ),
        ("echo '{}'", "exit status 0, stdout '{}'"),
    ],
)
def test_a_shell_that_refuses_is_told_in_its_own_words(tmp_path: Path, body: str, words: str, keep: bool) -> None:
    shell = tmp_path / "shell"
    shell.write_text(f"#!/bin/sh\n{body}\n")
    shell.chmod(0o755)
    with pytest.raises(RemoteFailed, match=words) as raised:
        Agent(Refusing(tmp_path, str(shell)), "~/fleet", keep=keep).call("runs", {}, deadline=Deadline.after(30))
    found = raised.value
    assert "refuses commands" in found.why and "authorized_keys" in found.fix and "getent passwd" in found.fix
    assert found.host == "h" and found.example == "fleet ssh h -- echo hello"


def test_the_shells_that_systems_have(tmp_path: Path) -> None:
    for shell in ("/bin/false", "/usr/sbin/nologin"):
        if Path(shell).exists():
            with pytest.raises(RemoteFailed, match="did not run the command of fleet: exit status 1"):
                Agent(Refusing(tmp_path, shell), "~/fleet").call("runs", {}, deadline=Deadline.after(30))


def test_a_forced_command(farm: Callable[..., Farm]) -> None:
    made = farm(1, fresh=True)
    [host] = made.hosts
    keys = host.home / ".ssh" / "authorized_keys"
    keys.write_text(f'command="echo hi" {keys.read_text()}')
    endpoint = Endpoint("h", host.address, host.port, host.user, host.identity, host_key=host.host_key)
    with Pool({"h": endpoint}) as pool, pytest.raises(RemoteFailed, match="exit status 0, stdout 'hi', stderr empty"):
        Agent(pool.get("h", Deadline.after(30)), "~/fleet").call("runs", {}, deadline=Deadline.after(30))
