"""Endpoints for the farm's hosts, unaffected by the SSH configuration and keys of whoever runs the tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.ssh import Endpoint, Pool, SshTransport
from tests.farm.hosts import FarmHost


@pytest.fixture
def user_files(tmp_path: Path) -> Path:
    """A user's SSH folder: `config`, and an empty `known_hosts` that the configuration names."""
    folder = tmp_path / "user"
    folder.mkdir()
    (folder / "known_hosts").touch()
    (folder / "config").write_text(
        f"UserKnownHostsFile {folder / 'known_hosts'}\nGlobalKnownHostsFile none\n"
        f"IdentityFile {folder / 'id_ed25519'}\nIdentityAgent none\n"
    )
    return folder


@pytest.fixture
def endpoint(user_files: Path) -> Callable[..., Endpoint]:
    """`endpoint(host, **changes)`: how to reach a farm's host, whose key is in the project's file."""

    def make(host: FarmHost, /, **changes: Any) -> Endpoint:
        plain: dict[str, Any] = {
            "name": host.name,
            "host": host.address,
            "port": host.port,
            "user": host.user,
            "identity": host.identity,
            "known_hosts": (host.known_hosts,),
            "ssh_config": user_files / "config",
        }
        return Endpoint(**(plain | changes))

    return make


@pytest.fixture
def pool() -> Iterator[Pool]:
    """A pool that leaves no thread behind."""
    before = set(threading.enumerate())
    with Pool({}) as pool:
        yield pool
    left = set(threading.enumerate()) - before
    until = time.monotonic() + 5
    while any(thread.is_alive() for thread in left) and time.monotonic() < until:
        time.sleep(0.01)
    alive = [thread.name for thread in left if thread.is_alive()]
    assert not alive, f"threads outlived their pool: {alive}"


@pytest.fixture
def box(farm: Callable[..., Any], endpoint: Callable[..., Endpoint], pool: Pool) -> SshTransport:
    """A transport to a host of the shared farm."""
    return pool.to(endpoint(farm(1).hosts[0]))
