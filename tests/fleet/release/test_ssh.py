"""Deploys over real OpenSSH servers, and over a proxy that cuts the connection at any byte in any way."""

from __future__ import annotations

import itertools
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import FleetError
from fleet.release import Deployed, Tree, scan
from fleet.ssh import Endpoint, Pool, SshTransport, Watchdog
from tests.farm.hosts import FarmHost
from tests.farm.proxy import Mode, Proxy
from tests.fleet.release.places import Host, needs_git, seen, write

pytestmark = [pytest.mark.needs("sshd"), needs_git]
#: Cuts of each mode; the nightly table counts 1,000 in all.
CUTS = 2
#: What the handshake and the inspection take upwards, roughly: cuts begin there, since the other rooms test those.
GREETING = 4_000
MODES: tuple[Mode, ...] = ("close", "rst", "hole")


@pytest.fixture
def connect(place: Path) -> Iterator[Callable[[FarmHost], SshTransport]]:
    """Transports to hosts of a farm, unaffected by the configuration of whoever runs the tests."""
    (place / "config").write_text("UserKnownHostsFile none\nGlobalKnownHostsFile none\nIdentityAgent none\n")
    with Pool({}) as pool:

        def to(host: FarmHost) -> SshTransport:
            return pool.to(
                Endpoint(
                    name=host.name,
                    host=host.address,
                    port=host.port,
                    user=host.user,
                    identity=host.identity,
                    known_hosts=(host.known_hosts,),
                    ssh_config=place / "config",
                    watchdog=Watchdog(interval=0.2, limit=0.6),
                )
            )

        yield to


@pytest.fixture
def remote(farm: Callable[..., Any], connect: Callable[[FarmHost], SshTransport]) -> Iterator[tuple[Any, Host]]:
    """A farm of one, and a folder of ours on its host."""
    hosts = farm(1)
    found = hosts.hosts[0]
    yield hosts, Host(found.home, "~/rele ase's/$x", transport=connect(found))
    folder = found.home / "rele ase's"
    for path in [*folder.rglob("*")] if folder.exists() else []:
        if path.is_dir() and not path.is_symlink():
            path.chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)


def test_a_deploy_over_ssh(remote: tuple[Any, Host], look: Callable[..., Tree], project: Path) -> None:
    _, host = remote
    write(project, {f"many/{number}.bin": random.Random(number).randbytes(20_000) for number in range(60)})
    first = look()
    assert host.deploy(first).action == "uploaded"
    assert host.deploy(first).action == "noop"
    (project / "README.md").write_bytes(b"2")
    second = look()
    done = host.deploy(second)
    assert (done.files_sent, done.previous) == (1, first.release)
    expected = {path: what for path, what in seen(project).items() if not path.startswith(b".git/")}
    assert seen(host.release(second.release)) == expected
    (project / "README.md").write_bytes(b"3")
    changing = look()
    (project / "README.md").write_bytes(b"4")
    with pytest.raises(FleetError, match="changed while"):
        host.deploy(changing)
    assert host.deploy(second).action == "noop", "the connection is still good"
    assert host.left() == []


def test_a_connection_cut_at_any_byte(
    remote: tuple[Any, Host], connect: Callable[[FarmHost], SshTransport], place: Path
) -> None:
    hosts, host = remote
    write(place / "p0", {"same": b"s" * 50_000, "old": b"0"})
    old = scan(place / "p0", cache=place / "cache")
    host.deploy(old)
    size = 140_000
    draw = random.Random(1)
    for number, (mode, _) in enumerate(itertools.product(MODES, range(CUTS))):
        files = {"same": b"s" * 50_000, "one": draw.randbytes(size), "two": b"%d" % number, "link": "one"}
        write(place / f"p{number + 1}", files)  # type: ignore[arg-type]
        tree = scan(place / f"p{number + 1}", cache=place / "cache")
        with Proxy(host_address(hosts), hosts.hosts[0].port) as proxy:
            proxy.cut_after(draw.randrange(GREETING, size + 30_000), mode=mode, direction="up")
            transport = connect(hosts.through(0, proxy))
            outcome = attempt(host, tree, transport)
            transport.close()
        if isinstance(outcome, FleetError):
            assert outcome.exit_code in (3, 6, 8, 10, 13), outcome
        assert host.current() in (old.release, tree.release)
        current = old if host.current() == old.release else tree
        assert seen(host.release(current.release)) == seen(current.root)
        deploy_when_free(host, tree)
        assert seen(host.release(tree.release)) == seen(tree.root)
        assert host.left() == []
        old = tree


def host_address(hosts: Any) -> str:
    """Where the farm's host listens."""
    address: str = hosts.hosts[0].address
    return address


def attempt(host: Host, tree: Tree, transport: SshTransport) -> Deployed | FleetError:
    """A deploy that may fail."""
    try:
        return host.deploy(tree, transport=transport)
    except FleetError as error:
        return error


def deploy_when_free(host: Host, tree: Tree) -> None:
    """Deploy, once the receiver that lost its connection has noticed and is gone."""
    pause = threading.Event()
    for _ in range(500):
        outcome = attempt(host, tree, host.transport)
        if isinstance(outcome, Deployed):
            return
        assert outcome.exit_code == 6, outcome
        pause.wait(0.02)
    raise AssertionError("the dead receiver kept the lock")
