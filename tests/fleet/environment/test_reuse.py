"""Reuse of the host's torch: only what is missing is installed, and torch stays what and where it was."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fleet.errors import RemoteFailed, Unverified
from tests.fleet.environment.hosts import Host
from tests.fleet.environment.index import locked, project
from tests.fleet.environment.interpreters import add_metadata, make_interpreter

PINS = "alpha==1.0\nbeta==2.0\ntorch==2.12.0\ntriton==3.7.1\n"
WHERE = "import torch, alpha; print(torch.__version__, torch.__file__, alpha.VERSION, alpha.__file__)"


def test_only_what_is_missing_is_installed(host: Host) -> None:
    host.release(constraints_txt=PINS, pyproject_toml=project("torch>=2.11", "alpha", "triton; sys_platform == 'x'"))
    ready = host.setup()
    assert (ready.mode, ready.action, ready.installed) == ("reuse", "built", ("alpha", "beta"))
    assert ready.packages == {**ready.packages, "alpha": "1.0", "beta": "2.0", "torch": "2.13.0+cu130"}
    assert (ready.torch, ready.cuda, ready.nccl) == ("2.13.0+cu130", "13.0", "2.28.3")
    assert ready.devices == ("Fake GPU", "Fake GPU")
    assert (ready.pinned, ready.notes) == ("pinned, not hashed", ())
    base = host.python.parent.parent
    # The base is itself a virtual environment: a child of it does not see its packages unless they are added.
    said = host.run(ready, WHERE).removeprefix("torch says hello").split()
    assert said[0] == "2.13.0+cu130"
    assert Path(said[1]).is_relative_to(base)
    assert said[2] == "1.0"
    assert Path(said[3]).is_relative_to(host.root / "envs" / ready.environment)
    assert any("has torch 2.13.0+cu130 (CUDA 13.0), sees 2 devices" in line for line in host.said)


def test_a_ready_environment_costs_one_round_trip(host: Host) -> None:
    host.release(constraints_txt=PINS, pyproject_toml=project("torch"))
    built = host.setup()
    host.transport.trips = 0
    again = host.setup()
    assert host.transport.trips == 1
    assert again.action == "ready"
    assert {**_fields(again), "action": 0, "seconds": 0} == {**_fields(built), "action": 0, "seconds": 0}
    assert again.seconds < built.seconds
    # Another release with the same pins has the same environment, one with other pins another.
    host.release("r2", constraints_txt=PINS, pyproject_toml=project("torch") + "[tool.x]\n")
    second = host.setup("r2")
    assert (second.environment, second.action) == (built.environment, "ready")
    assert host.transport.trips == 3, "looking, and noting that it answers this release too"
    assert host.setup("r2").action == "ready"
    assert host.transport.trips == 4
    host.release("r3", constraints_txt=PINS.replace("1.0", "1.1"), pyproject_toml=project("torch", "alpha"))
    third = host.setup("r3")
    assert third.packages["alpha"] == "1.1"
    assert host.environments() == sorted([built.environment, third.environment])


def test_nothing_missing_asks_no_index(host: Host, tmp_path: Path) -> None:
    base = make_interpreter(tmp_path / "full", devices=0)
    [site] = (tmp_path / "full").glob("lib/python*/site-packages")
    for name, version in (("alpha", "1.0"), ("beta", "2.0")):
        add_metadata(site, name, version)
    # An index that cannot be asked: whoever tries fails.
    (host.transport.home / ".config/pip/pip.conf").write_text(
        "[global]\nindex-url = http://127.0.0.1:9/\nretries = 0\n"
    )
    host.release(constraints_txt=PINS, pyproject_toml=project("torch", "alpha", "beta"))
    ready = host.setup(python=str(base))
    assert (ready.action, ready.installed) == ("built", ())
    assert "nothing is missing" in host.log(ready)


def test_a_version_that_differs_from_the_pin_is_missing(host: Host, tmp_path: Path) -> None:
    base = make_interpreter(tmp_path / "near")
    [site] = (tmp_path / "near").glob("lib/python*/site-packages")
    add_metadata(site, "beta", "1.0")
    host.release(constraints_txt=PINS, pyproject_toml=project("torch", "beta"))
    ready = host.setup(python=str(base))
    assert (ready.installed, ready.packages["beta"]) == (("beta",), "2.0")
    assert (site / "beta-1.0.dist-info").exists(), "the interpreter below is not touched"


def test_hashed_pins_leave_out_torch(host: Host, wheels: Path) -> None:
    lock = locked(wheels / "alpha-1.0-py3-none-any.whl", wheels / "beta-2.0-py3-none-any.whl")
    nowhere = "".join(
        f"{name}==9.9 --hash=sha256:{'0' * 64}\n" for name in ("torch", "nvidia-nccl-cu13", "cuda-bindings")
    )
    host.release(requirements_lock=lock + nowhere)
    ready = host.setup()
    assert (ready.mode, ready.installed, ready.pinned) == ("reuse", ("alpha", "beta"), "pinned and hashed")


def test_a_wrong_digest_is_not_installed(host: Host) -> None:
    host.release(requirements_lock=f"beta==2.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(RemoteFailed, match="pip could not install") as caught:
        host.setup()
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in caught.value.why
    assert host.environments() == []


@pytest.mark.parametrize(("package", "reason"), [("usurper", "place was"), ("blinder", "saw 2 devices and sees 0")])
def test_a_torch_that_was_changed_is_refused(host: Host, package: str, reason: str) -> None:
    host.release(constraints_txt=f"{package}==1.0\ntorch==2.12.0\n", pyproject_toml=project("torch", package))
    with pytest.raises(Unverified, match="not the one that was to be reused") as caught:
        host.setup()
    assert caught.value.exit_code == 10
    assert reason in caught.value.why
    assert host.environments() == [], "the environment was not dropped"


def test_another_torch_below_means_another_environment(host: Host, tmp_path: Path) -> None:
    folder = tmp_path / "moving"
    base = make_interpreter(folder)
    host.release(constraints_txt=PINS, pyproject_toml=project("torch"))
    first = host.setup(python=str(base))
    [version] = folder.glob("lib/python*/site-packages/torch/version.py")
    version.write_text("git_version = 'another build'\ncuda = '13.0'\n")
    os.utime(version, (1, 1))
    second = host.setup(python=str(base))
    assert second.action == "built"
    assert second.environment != first.environment


def test_the_interpreter_of_these_tests(tmp_path: Path, make_hosts: Callable[[Path], Host], root: Path) -> None:
    """The project's own pins on the environment that these tests run in: nothing is missing, torch is the real one."""
    host = make_hosts(tmp_path / "home")
    host.release(
        constraints_txt=(root / "constraints.txt").read_text(), pyproject_toml=(root / "pyproject.toml").read_text()
    )
    ready = host.setup(python=sys.executable, mode="reuse")
    found = importlib.util.find_spec("torch")
    assert found is not None and found.origin is not None
    assert (ready.torch, ready.installed) == (importlib.metadata.version("torch"), ())
    # The record says what the environment's own interpreter found when it imported torch.
    record = json.loads((host.root / "envs" / ready.environment / ".fleet-ready.json").read_text())
    assert record["torch_path"] == os.path.realpath(os.path.dirname(found.origin))


def _fields(ready: object) -> dict[str, object]:
    return {name: getattr(ready, name) for name in type(ready).__slots__}  # type: ignore[attr-defined]
