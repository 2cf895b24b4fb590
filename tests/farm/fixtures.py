"""Fixtures for tests against real hosts; a conftest re-exports them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.farm.hosts import FarmHost
from tests.farm.namespaces import Namespaces, missing_namespaces
from tests.farm.processes import carrying, end_all
from tests.farm.proxy import Proxy
from tests.farm.server import find_sshd
from tests.farm.sshd import Farm

__all__ = ["farm", "namespaces", "no_run_left", "proxy"]


class Farms:
    """Makes farms of one kind; equal wishes get the same farm, so that a session starts each only once."""

    def __init__(self, kind: type[Farm], folders: pytest.TempPathFactory) -> None:
        self._kind, self._folders = kind, folders
        self._cached: dict[str, Farm] = {}
        self._farms: list[Farm] = []

    def __call__(self, count: int = 1, *, fresh: bool = False, **options: Any) -> Farm:
        """A running farm of so many hosts. Ask for a `fresh` one to stop hosts or to change their keys."""
        key = repr((count, sorted(options.items())))
        if not fresh and key in self._cached:
            return self._cached[key]
        farm = self._kind(self._folders.mktemp(self._kind.__name__.lower()) / "hosts", count, **options)
        self._farms.append(farm)
        if not fresh:
            self._cached[key] = farm
        return farm.start()

    def close(self) -> list[str]:
        """End all farms; returns what had survived on their hosts."""
        return [told for farm in self._farms for told in farm.close()]


@pytest.fixture(scope="session")
def farm(tmp_path_factory: pytest.TempPathFactory, no_run_left: None) -> Iterator[Callable[..., Farm]]:
    """Makes farms of sshd on loopback: `farm(3)`, `farm(1, config=("MaxSessions 1",))`, `farm(1, fresh=True)`.

    Hosts are shared with other tests of the session that ask for the same, so take a folder of your own on them.
    A test fails the session if a command that it started and detached is still there at its end.
    """
    try:
        find_sshd()
    except FileNotFoundError as error:
        pytest.skip(str(error))
    farms = Farms(Farm, tmp_path_factory)
    yield farms
    survivors = farms.close()
    assert not survivors, "processes outlived the tests on the farm's hosts:\n" + "\n".join(survivors)


@pytest.fixture(scope="session")
def namespaces(tmp_path_factory: pytest.TempPathFactory, no_run_left: None) -> Iterator[Callable[..., Namespaces]]:
    """Makes farms in network namespaces: `namespaces(8)`; as `farm` otherwise. Needs root."""
    if reason := missing_namespaces():
        pytest.skip(reason)
    farms = Farms(Namespaces, tmp_path_factory)
    yield farms  # type: ignore[misc]
    survivors = farms.close()
    assert not survivors, "processes outlived the tests on the farm's hosts:\n" + "\n".join(survivors)


@pytest.fixture
def proxy() -> Iterator[Callable[..., Proxy]]:
    """Makes chaos proxies in front of a farm's hosts: `proxy(host, delay_ms=10)`; they end with the test."""
    with contextlib.ExitStack() as proxies:
        yield lambda host, **options: proxies.enter_context(_in_front(host, **options))


def _in_front(host: FarmHost, **options: Any) -> Proxy:
    return Proxy(host.address, host.port, **options)


@pytest.fixture(scope="session")
def no_run_left(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """At the end of the session, no process of a run that a test started may be left."""
    yield
    place = str(tmp_path_factory.getbasetemp())
    # Another session on this machine may have runs of its own; what this one started names its folder somewhere.
    left = [one for one in carrying({"FLEET_RUN_ID": None}) if any(place in text for text in one.environ().values())]
    told = [f"{one.environ().get('FLEET_RUN_ID')} pid {one.pid}: {' '.join(one.argv())}" for one in left]
    end_all(left)
    assert not told, "runs outlived the tests:\n" + "\n".join(told)
