"""What doctor says of an environment, on a host and for GPUs that this machine does not have."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.environment import Finding, check
from fleet.environment.check import findings
from fleet.ssh import Cmd, Deadline
from tests.fleet.environment.hosts import DEPLOY, Host
from tests.fleet.environment.index import project
from tests.fleet.environment.interpreters import make_interpreter

TORCH = {"version": "2.13.0", "cuda": "13.0", "path": "/t", "devices": ["H100"] * 2, "capabilities": [[9, 0]] * 2}
TORCH["architectures"] = ["sm_90"]
FACTS = {"torch": TORCH, "gpus": 2, "driver": "580.65", "driver_cuda": "13.0"}
RECORD = {"torch": "2.13.0", "torch_path": "/t"}


def statuses(found: tuple[Finding, ...]) -> dict[str, str]:
    """Status by check; every finding that is not ok says what to do."""
    assert all(one.evidence and bool(one.fix) == (one.status != "ok") for one in found)
    return {one.id: one.status for one in found}


def test_an_environment_on_a_host(host: Host, tmp_path: Path) -> None:
    base = make_interpreter(tmp_path / "base")
    host.release(constraints_txt="beta==1.0\n", pyproject_toml=project("torch", "beta").replace('"torch", ', ""))
    ready = host.setup(python=str(base))

    def look() -> tuple[Finding, ...]:
        return check(host.transport, DEPLOY, ready.environment, deadline=Deadline.after(30))

    trips = host.transport.trips
    assert statuses(look()) == {"environment": "ok", "torch": "ok", "torch-devices": "ok"}
    assert host.transport.trips == trips + 1
    [torch] = (tmp_path / "base").glob("lib/python*/site-packages/torch")
    text = (torch / "__init__.py").read_text()
    (torch / "__init__.py").write_text(text.replace("2.13.0+cu130", "2.14.0"))
    assert statuses(look())["torch"] == "fail"
    (torch / "__init__.py").write_text("raise ImportError('libnccl.so.2: version not found')")
    [_, broken] = look()
    assert (broken.status, "libnccl.so.2" in broken.evidence) == ("fail", True)
    (torch / "__init__.py").write_text("import os; os.abort()")
    [crashed] = look()
    assert (crashed.id, crashed.status, "134" in crashed.evidence) == ("environment", "fail", True)
    shutil.rmtree(host.root / "envs" / ready.environment)
    [gone] = look()
    assert (gone.status, ready.environment in gone.evidence) == ("fail", True)


@pytest.mark.parametrize("greeting", [b"Welcome\n{}\nready\n", b"no line break", b"place\ta\tb\n" * 10_000])
def test_a_login_that_greets(host: Host, greeting: bytes) -> None:
    """Start-up files of a shell print into every command on many hosts."""

    class Greeting(type(host.transport)):
        def exec(self, cmd: Cmd, **options):
            result = super().exec(cmd, **options)
            return replace(result, out=greeting + result.out, err=greeting + result.err)

    host.transport = Greeting(host.transport.home)
    host.release(constraints_txt="beta==1.0\n", pyproject_toml=project("beta"))
    ready = host.setup()
    assert host.setup().environment == ready.environment
    found = check(host.transport, DEPLOY, ready.environment, deadline=Deadline.after(30))
    assert statuses(found)["torch"] == "ok"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, {"torch": "ok", "torch-devices": "ok", "torch-driver": "ok"}),
        ({"driver_cuda": "12.8"}, {"torch-driver": "fail"}),
        ({"driver_cuda": "13.2"}, {"torch-driver": "ok"}),
        ({"torch": {**TORCH, "cuda": "13.3"}}, {"torch-driver": "warn"}),
        ({"torch": {**TORCH, "devices": []}}, {"torch-devices": "fail"}),
        ({"torch": {**TORCH, "cuda": None, "devices": []}}, {"torch-devices": "fail"}),
        ({"gpus": 8}, {"torch-devices": "warn"}),
        ({"torch": None}, {"torch": "fail"}),
        ({"torch": {**TORCH, "path": "/elsewhere"}}, {"torch": "fail"}),
    ],
)
def test_torch_devices_and_driver(change: dict, expected: dict[str, str]) -> None:
    found = statuses(findings("fleet setup h", RECORD, {**FACTS, **change}))
    assert expected.items() <= found.items()


def test_without_gpus_nothing_is_said_of_a_driver(make_hosts: Callable[[Path], Host]) -> None:
    torch = {**TORCH, "cuda": None, "devices": [], "capabilities": []}
    found = findings("fleet setup h", RECORD, {**FACTS, "torch": torch, "gpus": 0, "driver": None, "driver_cuda": None})
    assert statuses(found) == {"torch": "ok", "torch-devices": "ok"}
