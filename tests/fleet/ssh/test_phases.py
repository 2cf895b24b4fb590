"""A host that falls silent while a connection comes about: which phase got no answer, and for how long, is told.

The limits are small here; that they are the documented ones is tested as well.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from fleet.errors import DeadlinePassed, Unreachable
from fleet.ssh import Cmd, Deadline, Endpoint, Pool, authentication, dial, opened, opening
from tests.farm.hosts import FarmHost
from tests.farm.keys import make_key
from tests.farm.proxy import Proxy
from tests.farm.sshd import Farm
from tests.fleet.ssh.scene import soon

TRUE = Cmd(("true",))
SECRET = "a long passphrase"
#: Seconds, of the phase that is looked at. The others have their own, so that an error of theirs would be told.
QUICK = 0.4


@pytest.fixture
def host(farm: Callable[..., Farm]) -> FarmHost:
    return farm(1).hosts[0]


@pytest.fixture
def there(proxy: Callable[..., Any], host: FarmHost) -> Proxy:
    """A way to the host that can turn into a black hole."""
    way: Proxy = proxy(host)
    return way


@pytest.fixture
def where(endpoint: Callable[..., Endpoint], farm: Callable[..., Farm], there: Proxy) -> Endpoint:
    """The host at the end of that way."""
    return endpoint(farm(1).through(0, there))


def silent(pool: Pool, where: Endpoint, there: Proxy | None = None) -> str:
    """What is told of a host that falls silent: soon, as unreachable, and not as closed, which nobody did."""
    began = time.monotonic()
    with pytest.raises(Unreachable) as caught:
        pool.to(where).exec(TRUE, deadline=soon())
    assert QUICK <= time.monotonic() - began < QUICK + 3
    assert caught.value.kind == "unreachable"
    assert "close" not in str(caught.value)
    assert there is None or there.connections == 1, "who kept us waiting is not asked again"
    return caught.value.what


def test_the_limits_are_the_documented_ones() -> None:
    assert (dial.CONNECT, opening.BANNER, opening.EXCHANGE, authentication.LIMIT) == (10, 15, 15, 20)


@pytest.fixture
def full() -> Iterator[int]:
    """A port that does not answer: the kernel drops what comes while the queue of an idle listener is full."""
    with socket.socket() as listener, socket.socket() as first:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        first.connect(listener.getsockname())
        yield listener.getsockname()[1]


def test_no_tcp_connection(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, full: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dial, "CONNECT", QUICK)
    told = silent(pool, endpoint(host, host="127.0.0.1", port=full))
    assert told == f"h0 is unreachable: 127.0.0.1 port {full}: no answer for 0.4 s while connecting"


def test_no_greeting(pool: Pool, where: Endpoint, there: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "BANNER", QUICK)
    monkeypatch.setattr(opening, "_AT_ONCE", QUICK / 2)
    there.hole()
    assert silent(pool, where, there) == "h0 is unreachable: no SSH greeting: no answer for 0.4 s"


def test_a_greeting_that_does_not_end(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lines before the greeting are allowed, and then nothing more comes."""
    monkeypatch.setattr(opening, "BANNER", QUICK)
    monkeypatch.setattr(opening, "_AT_ONCE", QUICK / 2)
    kept: list[socket.socket] = []

    def welcome(listener: socket.socket) -> None:
        kept.append(listener.accept()[0])
        kept[0].sendall(b"Welcome\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        thread.submit(welcome, listener)
        told = silent(pool, endpoint(host, host="127.0.0.1", port=listener.getsockname()[1]))
        kept[0].close()
    assert told == "h0 is unreachable: no SSH greeting: no answer for 0.4 s"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b"", "it closed the connection"),
        (b"220 mail ready\r\n", "it closed the connection"),
        (b"SSH-1.5-old\r\n", r"Incompatible version \(1.5 instead of 2.0\)"),
        (b"SSH-2.0-odd\r\n", "it closed the connection during the key exchange"),
    ],
)
def test_what_was_closed_is_told_as_closed(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, line: bytes, told: str
) -> None:
    def answer(listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                with listener.accept()[0] as client:
                    client.sendall(line)
                    client.shutdown(socket.SHUT_WR)
                    # Unread bytes would make a reset of the end.
                    while client.recv(4096):
                        continue

    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as thread:
        thread.submit(answer, listener)
        with pytest.raises(Unreachable, match=told):
            pool.to(endpoint(host, host="127.0.0.1", port=listener.getsockname()[1])).open(soon())
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("count", [60, 900])
def test_a_hole_in_the_key_exchange(
    pool: Pool, where: Endpoint, there: Proxy, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the greeting, and in the middle of the first message."""
    monkeypatch.setattr(opening, "EXCHANGE", QUICK)
    there.cut_after(count, "hole", "down")
    assert silent(pool, where, there) == "h0 is unreachable: no answer for 0.4 s during the key exchange"
    assert there.has_cut


def test_a_slow_greeting_takes_nothing_from_the_key_exchange(
    pool: Pool, where: Endpoint, there: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each phase has its own limit: the one of the greeting is over before the keys are exchanged."""
    monkeypatch.setattr(opening, "BANNER", 1.0)
    there.delay_ms = 300
    began = time.monotonic()
    pool.to(where).open(soon())
    assert time.monotonic() - began > 1.0


@pytest.fixture
def locked(host: FarmHost, tmp_path: Path) -> Path:
    """The host's key under a passphrase, so that somebody is asked just before it is offered."""
    path = tmp_path / "locked"
    path.write_bytes(host.identity.read_bytes())
    path.chmod(0o600)
    change = ["ssh-keygen", "-q", "-p", "-a", "1", "-P", "", "-N", SECRET, "-f", path]
    subprocess.run(change, check=True, capture_output=True)
    return path


def falling(there: Proxy, answer: str) -> Callable[[str], str]:
    """Answers a question, and at that moment the host is gone."""

    def ask(_: str) -> str:
        there.hole()
        return answer

    return ask


def test_a_hole_while_a_key_is_offered(
    endpoint: Callable[..., Endpoint],
    farm: Callable[..., Farm],
    there: Proxy,
    locked: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(authentication, "LIMIT", QUICK)
    where = endpoint(farm(1).through(0, there), identity=locked)
    with Pool({}, ask=falling(there, SECRET)) as pool:
        assert silent(pool, where, there) == "h0 is unreachable: no answer for 0.4 s while signing in"


def test_a_hole_while_a_password_is_offered(
    endpoint: Callable[..., Endpoint],
    farm: Callable[..., Farm],
    proxy: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A password that nobody has looked at was not refused."""
    monkeypatch.setattr(authentication, "LIMIT", QUICK)
    asking = farm(1, config=("PasswordAuthentication yes",))
    there = proxy(asking.hosts[0])
    where = endpoint(asking.through(0, there), identity=make_key(tmp_path / "other").path)
    with Pool({}, ask_password=falling(there, "secret")) as pool:
        assert silent(pool, where, there) == "h0 is unreachable: no answer for 0.4 s while signing in"


def test_the_callers_own_deadline_comes_first(pool: Pool, where: Endpoint, there: Proxy) -> None:
    there.cut_after(60, "hole", "down")
    with pytest.raises(DeadlinePassed, match=r"exchanging keys with h0 did not end within 0\.3 s"):
        pool.to(where).exec(TRUE, deadline=Deadline.after(0.3))


def test_a_host_behind_a_gate_does_not_answer(
    pool: Pool, endpoint: Callable[..., Endpoint], host: FarmHost, full: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate waits for it longer than we do."""
    monkeypatch.setattr(opened, "CONNECT", QUICK)
    gate = endpoint(host, name="gate")
    pool.to(gate).open(soon())
    told = silent(pool, endpoint(host, host="127.0.0.1", port=full, jump=(gate,)))
    assert told == f"gate is unreachable: connecting from gate to 127.0.0.1 port {full}: no answer for 0.4 s"
