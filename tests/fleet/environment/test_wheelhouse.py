"""Hosts without an index: wheels are gathered here for their platform, named when missing, sent once, verified."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

from fleet.environment import Ready, plan
from fleet.environment.foreign import tags
from fleet.environment.plan import Build
from fleet.environment.wheelhouse import gather
from fleet.errors import Blocked, RemoteFailed, Unverified, Usage
from fleet.ssh import Deadline
from tests.fleet.environment.hosts import DEPLOY, Host
from tests.fleet.environment.index import locked, make_wheel, project

PINS = "alpha==1.0\nbeta==2.0\ntorch==2.12.0\n"


@pytest.fixture
def cut_off(host: Host, wheels: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A host without any index, while this side has one."""
    (host.transport.home / ".config/pip/pip.conf").write_text("[global]\nno-index = true\n")
    # Variables, because they come before whatever the settings of this machine say.
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    host.release(constraints_txt=PINS, pyproject_toml=project("torch", "alpha"))
    return host


def offline(host: Host, tmp_path: Path, **options) -> Ready:
    """Set up without an index on the host."""
    return host.setup(offline=True, wheels=tmp_path / "cache", **options)


def blobs(host: Host) -> dict[str, int]:
    """Wheels on the host with the time of their arrival."""
    folder = host.root / "wheels/sha256"
    return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} if folder.exists() else {}


def sent(host: Host) -> list[str]:
    """File names of the wheels that were sent so far."""
    return [line.split(" ")[1] for line in host.said if line.startswith("sending ")]


def test_wheels_are_gathered_sent_once_and_installed(cut_off: Host, tmp_path: Path) -> None:
    host = cut_off
    ready = offline(host, tmp_path)
    assert (ready.mode, ready.installed) == ("reuse", ("alpha", "beta"))
    assert sent(host) == ["alpha-1.0-py3-none-any.whl", "beta-2.0-py3-none-any.whl"]
    first = blobs(host)
    assert len(first) == 2
    # One pin moves: the other wheel is there already.
    host.release(
        "r2", constraints_txt=PINS.replace("alpha==1.0", "alpha==1.1"), pyproject_toml=project("torch", "alpha")
    )
    assert offline(host, tmp_path, release="r2").packages["alpha"] == "1.1"
    assert sent(host)[2:] == ["alpha-1.1-py3-none-any.whl"]
    assert {name: when for name, when in blobs(host).items() if name in first} == first


def test_gathered_wheels_need_no_index_for_the_next_host(
    cut_off: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = planned(cut_off, mode="auto")
    first = gather("local", build, tmp_path / "cache", Deadline.after(30))
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    assert gather("local", build, tmp_path / "cache", Deadline.after(30)) == first
    (tmp_path / "cache" / "beta-2.0-py3-none-any.whl").unlink()
    with pytest.raises(Blocked, match="no wheel of"):
        gather("local", build, tmp_path / "cache", Deadline.after(30))


def test_a_missing_wheel_is_named_before_anything_is_sent(cut_off: Host, tmp_path: Path) -> None:
    pins = PINS.replace("beta==2.0", "beta==7.7") + "gamma==1.2\n"
    cut_off.release(constraints_txt=pins, pyproject_toml=project("torch", "alpha", "gamma"))
    with pytest.raises(Blocked, match=r"no wheel of .*==.* for local \(Python 3") as caught:
        offline(cut_off, tmp_path)
    assert "gamma==1.2" in caught.value.what or "beta==7.7" in caught.value.what
    assert cut_off.transport.trips == 1
    assert not (cut_off.root / "tools").exists()
    assert not (cut_off.root / "wheels").exists()


def test_a_conflict_is_not_called_a_missing_wheel(cut_off: Host, tmp_path: Path, wheels: Path) -> None:
    make_wheel(wheels, "picky", "1.0", requires=["beta<2"])
    cut_off.release(constraints_txt=PINS + "picky==1.0\n", pyproject_toml=project("torch", "picky"))
    with pytest.raises(Blocked, match=r"failed: .*conflict") as caught:
        offline(cut_off, tmp_path)
    assert "no wheel" not in caught.value.what


def test_a_hashed_lock_is_gathered_by_digest(cut_off: Host, tmp_path: Path, wheels: Path) -> None:
    lock = locked(wheels / "beta-2.0-py3-none-any.whl")
    cut_off.release(requirements_lock=lock + "absent==1 ; sys_platform == 'win32' --hash=sha256:00\n")
    (cut_off.root / "releases/r1/constraints.txt").unlink()
    ready = offline(cut_off, tmp_path, mode="isolated")
    assert (ready.mode, ready.pinned, dict(ready.packages)) == ("pip", "pinned and hashed", {"beta": "2.0"})


def test_a_wheel_that_changed_on_either_side_is_refused(cut_off: Host, tmp_path: Path) -> None:
    ready = offline(cut_off, tmp_path)
    [alpha, _] = (cut_off.root / "wheels/sha256").iterdir()
    alpha.chmod(0o600)
    alpha.write_bytes(b"not a wheel")
    with pytest.raises(RemoteFailed, match="pip could not install"):
        offline(cut_off, tmp_path, recreate=True)
    assert ready.environment not in cut_off.environments()
    alpha.unlink()
    kept = tmp_path / "cache" / "alpha-1.0-py3-none-any.whl"
    kept.write_bytes(bytes(reversed(kept.read_bytes())))
    beta = tmp_path / "cache" / "beta-2.0-py3-none-any.whl"
    beta.write_bytes(bytes(reversed(beta.read_bytes())))
    with pytest.raises(Unverified, match="has the digest"):
        offline(cut_off, tmp_path, recreate=True)


def test_without_a_folder_for_wheels(cut_off: Host) -> None:
    with pytest.raises(Usage, match="no folder for wheels"):
        cut_off.setup(offline=True)


def planned(host: Host, **options) -> Build:
    """What an offline set-up would build."""
    chosen = {"python": str(host.python), "offline": True, **options}
    build = plan(host.transport, DEPLOY, "r1", **chosen, deadline=Deadline.after(30)).build
    assert build is not None
    return build


def foreign(host: Host, version: str, platform: str, libc: str, **markers: str) -> Build:
    """A build for another kind of machine than this one."""
    build = planned(host, mode="isolated")
    one = build.choice.interpreter
    other = dataclasses.replace(one, version=version, platform=platform, libc=libc, markers={**one.markers, **markers})
    return dataclasses.replace(build, choice=dataclasses.replace(build.choice, interpreter=other))


def test_markers_and_tags_are_those_of_the_host(cut_off: Host, tmp_path: Path, wheels: Path) -> None:
    make_wheel(wheels, "native", "1.0", tag="cp313-cp313-manylinux_2_28_aarch64")
    make_wheel(wheels, "native", "1.0", tag="cp313-cp313-manylinux_2_38_aarch64")
    make_wheel(wheels, "stable", "1.0", tag="cp39-abi3-manylinux2014_aarch64")
    wanted = project("native", "stable", "alpha; python_version < '3.13'", "beta; platform_machine == 'aarch64'")
    cut_off.release(constraints_txt="alpha==1.0\nbeta==2.0\nnative==1.0\nstable==1.0\n", pyproject_toml=wanted)
    marks = {"python_version": "3.13", "python_full_version": "3.13.1", "platform_machine": "aarch64"}
    build = foreign(cut_off, "3.13.1", "linux-aarch64", "glibc 2.36", **marks)
    files = [wheel.file for wheel in gather("local", build, tmp_path / "cache", Deadline.after(30))]
    assert files == [
        "beta-2.0-py3-none-any.whl",
        "native-1.0-cp313-cp313-manylinux_2_28_aarch64.whl",
        "stable-1.0-cp39-abi3-manylinux2014_aarch64.whl",
    ]


def test_other_c_libraries_are_refused(cut_off: Host, tmp_path: Path) -> None:
    build = foreign(cut_off, "3.13.1", "linux-x86_64", "")
    with pytest.raises(Blocked, match="wheels cannot be gathered"):
        gather("local", build, tmp_path / "cache", Deadline.after(30))


def test_tags_reach_from_the_hosts_glibc_down(cut_off: Host) -> None:
    build = foreign(cut_off, "3.12.4", "linux-x86_64", "glibc 2.31")
    options = tags(build.choice.interpreter)
    assert options[options.index("--python-version") + 1] == "3.12.4"
    platforms = [options[place + 1] for place, option in enumerate(options) if option == "--platform"]
    assert platforms[0] == "manylinux_2_31_x86_64"
    assert {"manylinux_2_17_x86_64", "manylinux2014_x86_64", "manylinux1_x86_64", "linux_x86_64"} <= set(platforms)
    assert "manylinux_2_32_x86_64" not in platforms
    assert "cp312" in options
    assert sys.executable not in options
