"""One project and its hosts for all tests of the command line; deploying and setting up happens once a session."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.farm.fakes import failing_nvidia_smi, gpus, nvidia_smi
from tests.farm.keys import make_key
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.fleet.cli.site import Site
from tests.fleet.environment.interpreters import make_interpreter

#: Hosts: two plain ones, one whose nvidia-smi fails, one with two GPUs.
HOSTS = 4


@pytest.fixture(scope="session")
def built(farm: Callable[..., Farm], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The project on its hosts, with one completed and one failed run on h0."""
    folder = tmp_path_factory.mktemp("site")
    tools = [folder / f"tools-{number}" for number in range(HOSTS)]
    for place in tools:
        place.mkdir()
    failing_nvidia_smi(tools[2])
    nvidia_smi(tools[3], gpus(2, seed=str(folder)))
    hosts = farm(HOSTS, fresh=True, path_first=lambda number: tools[number])
    python = make_interpreter(folder / "interpreter", torch="2.13.0+cpu", cuda=None)
    with Proxy(hosts.hosts[0].address, hosts.hosts[0].port) as proxy, Proxy("127.0.0.1", 1) as nobody:
        site = Site(folder / "project", hosts, proxy, nobody, python, make_key(folder / "other"))
        site.fleet("deploy", "h0")
        site.fleet("setup", "h0")
        site.done = site.train("done", steps=12)
        site.failed = site.train("failed", "fail=3", steps=2)
        yield site
        site.end_runs()


@pytest.fixture
def site(built: Site) -> Iterator[Site]:
    """The same; a run that a test leaves behind ends with it."""
    yield built
    built.end_runs()


@pytest.fixture
def live(site: Site) -> str:
    """A run that lives until the test ends."""
    return site.live()
