"""Environments of their own: pip with digests or constraints, uv, and what the user is told when it goes wrong."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import sys
from pathlib import Path

import pytest

from fleet.environment import PinnedUv
from fleet.errors import Blocked, RemoteFailed, Unverified
from fleet.ssh import Cmd
from tests.farm.local import LocalTransport
from tests.fleet.environment.hosts import DEPLOY, Host, make_host
from tests.fleet.environment.index import locked, project
from tests.fleet.environment.interpreters import make_interpreter

#: Stands for uv: notes what it was asked, and makes an environment the way uv would.
UV = """#!/bin/sh
printf '%s\\n' "$UV_PROJECT_ENVIRONMENT" "$@" >"$HOME/asked"
exec {python} -m venv --without-pip "$UV_PROJECT_ENVIRONMENT"
"""


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> str:
    """An interpreter with pip and no torch."""
    return str(make_interpreter(tmp_path_factory.mktemp("plain") / "venv", torch=None))


def test_constraints_become_an_environment_of_its_own(host: Host, plain: str) -> None:
    host.release(constraints_txt="alpha==1.0\n", pyproject_toml=project(extras={"more": ["alpha"]}))
    ready = host.setup(python=plain, extras=("more",))
    assert (ready.mode, ready.pinned, ready.installed) == ("pip", "pinned, not hashed", ("alpha", "beta"))
    assert ready.packages == {"alpha": "1.0", "beta": "2.0"}, "packages of the interpreter below are not seen"
    assert ready.notes == ("torch cannot be used: no torch", "not pinned: beta")
    assert "no torch here can be reused" in ready.reason
    assert ready.rejected == (f"{plain} (Python {ready.version}): not reused: no torch",)
    assert host.run(ready, "import alpha; print(alpha.VERSION)") == "1.0"
    assert host.setup(python=plain, extras=("more",)).action == "ready"
    assert host.setup(python=plain).environment != ready.environment


def test_isolated_leaves_a_torch_alone_that_could_be_reused(host: Host) -> None:
    host.release(constraints_txt="beta==1.0\n", pyproject_toml=project("beta"))
    ready = host.setup(mode="isolated")
    assert (ready.mode, ready.torch, dict(ready.packages)) == ("pip", None, {"beta": "1.0"})
    assert ready.reason.endswith("asked for")


def test_hashed_lock(host: Host, plain: str, wheels: Path) -> None:
    host.release(requirements_lock=locked(wheels / "beta-1.0-py3-none-any.whl"))
    ready = host.setup(python=plain)
    assert (ready.pinned, ready.installed, ready.packages["beta"]) == ("pinned and hashed", ("beta",), "1.0")


def test_an_interpreter_without_pip_gets_one(host: Host, tmp_path: Path) -> None:
    bare = make_interpreter(tmp_path / "bare", torch=None, pip=False)
    host.release(constraints_txt="beta==1.0\n", pyproject_toml=project("beta"))
    ready = host.setup(python=str(bare))
    assert ready.installed == ("beta",), "the pip that came with Python is a tool, no part of the environment"
    assert "has no pip of its own: unpacking" in host.log(ready)


def test_a_host_without_any_pip_is_sent_one(host: Host, tmp_path: Path) -> None:
    bare = make_interpreter(tmp_path / "bare", pip=False, ensurepip=False)
    host.release(constraints_txt="beta==1.0\n", pyproject_toml=project("beta"))
    ready = host.setup(python=str(bare))
    assert (ready.mode, ready.installed) == ("reuse", ("beta",))
    assert any("the host has no pip" in line for line in host.said)


def test_the_installers_words_and_the_log_are_named(host: Host, plain: str) -> None:
    host.release(constraints_txt="absent==4.2\n", pyproject_toml=project("absent"))
    with pytest.raises(RemoteFailed, match="pip could not install what is pinned") as caught:
        host.setup(python=plain)
    assert "The user requested (constraint) absent==4.2" in caught.value.why
    [log] = (host.root / "envs").glob("*.log")
    assert str(log) in caught.value.why
    assert "(constraint) absent==4.2" in log.read_text()
    assert host.environments() == []


def test_a_host_that_reaches_no_index_is_told_so(host: Host, plain: str) -> None:
    settings = "[global]\nindex-url = http://127.0.0.1:9/\nretries = 1\n"
    (host.transport.home / ".config/pip/pip.conf").write_text(settings)
    host.release(constraints_txt="beta==1.0\n", pyproject_toml=project("beta"))
    with pytest.raises(RemoteFailed) as caught:
        host.setup(python=plain)
    assert caught.value.why.startswith("the host does not reach its package index")
    assert "--offline" in caught.value.fix


class SmallDisk(LocalTransport):
    """A host on which no file can be larger than 1 MiB."""

    def _start(self, cmd: Cmd):
        return super()._start(Cmd(("sh", "-c", 'ulimit -f 2048; exec "$@"', "sh", *cmd.argv), cmd.cwd))


def test_a_full_disk_is_said_in_the_installers_words(tmp_path: Path, wheels: Path, plain: str) -> None:
    host = make_host(tmp_path / "home", wheels, Path(plain), SmallDisk)
    host.release(constraints_txt="heavy==1.0\n", pyproject_toml=project("heavy"))
    with pytest.raises(RemoteFailed) as caught:
        host.setup()
    assert "File too large" in caught.value.why
    assert "free space" in caught.value.fix
    assert host.environments() == []


def test_uv_takes_its_lock(host: Host) -> None:
    tool = host.transport.home / ".local/bin/uv"
    tool.parent.mkdir(parents=True)
    tool.write_text(UV.format(python=sys.executable))
    tool.chmod(0o755)
    host.release(uv_lock="version = 1\n", pyproject_toml=project("beta"))
    ready = host.setup(mode="isolated", extras=("more",))
    assert (ready.mode, ready.pinned) == ("uv", "pinned and hashed")
    folder, verb, *options = (host.transport.home / "asked").read_text().splitlines()
    assert (folder, verb) == (str(host.root / "envs" / ready.environment), "sync")
    assert {"--frozen", "--no-install-project", "--no-dev", "--no-build", "--no-python-downloads"} <= set(options)
    pairs = dict(itertools.pairwise(options))
    assert pairs["--project"] == str(host.root / "releases" / "r1")
    assert pairs["--cache-dir"] == str(host.root / "envs/.cache/uv")
    assert pairs["--extra"] == "more"


def test_a_pinned_uv_is_sent_and_verified(host: Host, tmp_path: Path) -> None:
    tool = tmp_path / "uv"
    tool.write_text(UV.format(python=sys.executable))
    pinned = PinnedUv(tool, hashlib.sha256(tool.read_bytes()).hexdigest())
    host.release(uv_lock="version = 1\n", pyproject_toml=project("beta"))
    with pytest.raises(Unverified, match="has the digest"):
        host.setup(uv=dataclasses.replace(pinned, sha256="0" * 64))
    ready = host.setup(uv=pinned)
    assert ready.mode == "uv"
    sent = host.root / "tools" / f"uv-{pinned.sha256[:16]}"
    assert sent.read_bytes() == tool.read_bytes()
    assert sent.stat().st_mode & 0o777 == 0o700


def test_uv_alone_cannot_leave_out_torch(host: Host) -> None:
    host.release(uv_lock="version = 1\n", pyproject_toml=project("beta"))
    with pytest.raises(Blocked, match=r"uv\.lock alone") as caught:
        host.setup()
    assert "uv export" in caught.value.example
    assert not (host.root / "tools").exists(), f"something was sent to {DEPLOY}"
