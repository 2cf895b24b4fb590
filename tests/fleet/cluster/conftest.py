"""Supervisors of one run on addresses of the loopback that no other test has."""

from __future__ import annotations

import io
import shutil
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleet.remote.archive import archive
from fleet.remote.member import Member
from tests.fleet.cluster.clusters import Cluster
from tests.fleet.cluster.launches import SILENCE, free_port, launch, network

#: Seconds that a launcher may wait in vain, and that a peer may be silent.
HASTE = {
    "attempt.py": ("_LAUNCHER_SECONDS = 5.0", "_LAUNCHER_SECONDS = 0.5"),
    "lead.py": ("SILENCE = 5.0", "SILENCE = 2.0"),
}


@pytest.fixture
def addresses() -> list[str]:
    """Addresses of four nodes."""
    prefix = network()
    return [f"{prefix}.{node + 1}" for node in range(4)]


@pytest.fixture
def port(addresses: list[str]) -> int:
    """A free port of the first node."""
    return free_port(addresses[0])


@pytest.fixture
def member(addresses: list[str], port: int) -> Iterator[Callable[..., Member]]:
    """Makes members of a group of `nodes`; `at` is where a member looks for the lead, if that is not where it is."""
    made: list[Member] = []

    def make(
        node: int,
        *,
        nodes: int = 3,
        silence: float = SILENCE,
        patience: float = 10.0,
        at: tuple[str, int] | None = None,
        **fields: object,
    ) -> Member:
        lead, lead_port = at or (addresses[0], port)
        given = launch(node, [lead, *addresses[1:nodes]], lead_port, **fields)
        made.append(Member(given, silence=silence, patience=patience))
        return made[-1]

    yield make
    for one in reversed(made):
        one.close()


@pytest.fixture(scope="session")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The agent as a folder, which Python runs like the file and need not compile each time."""
    folder = tmp_path_factory.mktemp("agent")
    zipfile.ZipFile(io.BytesIO(archive()[0])).extractall(folder)
    return folder


@pytest.fixture(scope="session")
def hasty_agent(agent: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with less patience; `test_namespaces` and the measurement of groups wait as long as users do."""
    folder = tmp_path_factory.mktemp("hasty") / "agent"
    shutil.copytree(agent, folder)
    for module, (before, after) in HASTE.items():
        source = folder / "fleet" / "remote" / module
        assert source.read_text().count(before) == 1
        source.write_text(source.read_text().replace(before, after))
    return folder


@pytest.fixture
def cluster(tmp_path: Path, agent: Path) -> Iterator[Callable[..., Cluster]]:
    """Makes clusters of hosts of this machine; whatever runs on them ends with the test."""
    made: list[Cluster] = []

    def make(nodes: int = 2, agent: Path = agent, **changes: object) -> Cluster:
        made.append(Cluster(tmp_path / f"cluster-{len(made)}", agent, nodes, **changes))
        return made[-1]

    yield make
    for one in made:
        one.close()
