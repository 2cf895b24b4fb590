"""Setting up over a real connection that is cut anywhere: the next attempt ends well, and nothing goes on meanwhile."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import pytest

from fleet.environment import setup
from fleet.errors import Busy, Unreachable
from fleet.ssh import Deadline, Endpoint, Pool
from tests.farm.hosts import FarmHost
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.fleet.environment.index import pip_settings, project

#: Cuts at random bytes; the full table of a night takes more.
CUTS = 3
PINS = "alpha==1.0\nbeta==2.0\ntorch==2.12.0\n"


@pytest.fixture
def place(farm: Callable[..., Farm], wheels: Path, tmp_path: Path) -> tuple[FarmHost, str]:
    """A host with a release, and its deploy_dir."""
    [host] = farm(1).hosts
    settings = host.home / ".config" / "pip" / "pip.conf"
    settings.parent.mkdir(parents=True, exist_ok=True)
    settings.write_text(pip_settings(wheels))
    release = tmp_path / "deployed" / "releases" / "r1"
    release.mkdir(parents=True)
    (release / "constraints.txt").write_text(PINS)
    (release / "pyproject.toml").write_text(project("torch", "alpha"))
    return host, str(tmp_path / "deployed")


def test_a_cut_at_any_byte(place: tuple[FarmHost, str], torch_python: Path) -> None:
    host, deploy_dir = place
    with Proxy(host.address, host.port) as proxy:
        keys = {"host_key": host.host_key, "identity": host.identity, "user": host.user}

        begun = [0]

        def passed() -> int:
            return proxy.bytes_up + proxy.bytes_down - begun[0]

        def attempt(cut: int | None = None, *, anew: bool = False, mode: Literal["close", "rst"] = "rst") -> str:
            with Pool({"h": Endpoint("h", proxy.address, proxy.port, **keys)}) as pool:
                limit = Deadline.after(60)
                transport = pool.get("h", limit)
                begun[0] = proxy.bytes_up + proxy.bytes_down
                if cut is not None:
                    proxy.cut_after(cut, mode)
                options = {"python": str(torch_python), "recreate": anew}
                return setup(transport, deploy_dir, "r1", **options, deadline=limit).action

        assert attempt() == "built"
        assert attempt(anew=True) == "built"
        whole = passed()
        choose = random.Random(1)
        for count in range(CUTS):
            # What a reading command lost is asked again on another connection, so not every cut is seen.
            with contextlib.suppress(Unreachable):
                attempt(choose.randrange(whole * 9 // 10), anew=True, mode="rst" if count % 2 else "close")
            assert proxy.has_cut
            assert settled(attempt) in {"built", "ready"}
            assert attempt() == "ready"


def settled(attempt: Callable[[], str]) -> str:
    """What an attempt gives once the build that was cut has noticed it, which takes a moment."""
    end = time.monotonic() + 10
    while True:
        try:
            return attempt()
        except Busy:
            assert time.monotonic() < end, "a build whose connection is gone still holds its lock"
            time.sleep(0.05)
