"""The agent unpacked once for all tests of this room, and a host for each."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.remote.archive import archive
from tests.fleet.remote.hosts import Host


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent as a folder, which Python runs like the file and need not compile each time."""
    folder = tmp_path_factory.mktemp("agent")
    zipfile.ZipFile(io.BytesIO(archive()[0])).extractall(folder)
    return folder


@pytest.fixture(scope="session")
def agent_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent as it is sent to hosts."""
    path = tmp_path_factory.mktemp("agent-file") / "agent.pyz"
    path.write_bytes(archive()[0])
    return path


@pytest.fixture
def hosts(tmp_path: Path, agent: Path) -> Iterator[Callable[..., Host]]:
    """Makes hosts; whatever runs on them ends with the test."""
    made: list[Host] = []

    def make(name: str = "host", **options: object) -> Host:
        made.append(Host(tmp_path / name, **{"agent": agent, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for host in made:
        host.close()


@pytest.fixture
def host(hosts: Callable[..., Host]) -> Host:
    """A host."""
    return hosts()
