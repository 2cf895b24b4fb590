"""The chaos proxy does exactly what it is told: bytes, delays, ends."""

from __future__ import annotations

import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.farm.proxy import Mode, Proxy
from tests.farm.sshd import Farm

QUIET = 0.3
"""Seconds without a byte that count as silence."""


class Echo:
    """A server that sends everything back, and keeps what it got and how each connection ended."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.got: list[bytearray] = []
        self.ends: list[str] = []
        self.ended = threading.Semaphore(0)
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def where(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.listener.getsockname()[1])

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.got.append(bytearray())
            threading.Thread(target=self._serve, args=(connection, self.got[-1]), daemon=True).start()

    def _serve(self, connection: socket.socket, got: bytearray) -> None:
        with connection:
            try:
                while data := connection.recv(1 << 16):
                    got += data
                    connection.sendall(data)
                end = "close"
            except ConnectionError:
                end = "rst"
        self.ends.append(end)
        self.ended.release()


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def through(echo: Echo) -> Iterator[Proxy]:
    with Proxy(*echo.where) as proxy:
        yield proxy


def dial(proxy: Proxy) -> socket.socket:
    return socket.create_connection((proxy.address, proxy.port), timeout=10)


def receive(connection: socket.socket, count: int) -> bytes:
    """So many bytes, or fewer if the connection ends before."""
    data = b""
    while len(data) < count and (piece := connection.recv(count - len(data))):
        data += piece
    return data


def end_of(connection: socket.socket) -> str:
    """How the connection ends, after whatever still comes: `close`, `rst`, or `silence`."""
    connection.settimeout(QUIET)
    try:
        while connection.recv(1 << 16):
            continue
    except ConnectionResetError:
        return "rst"
    except TimeoutError:
        return "silence"
    return "close"


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "waited 10 s in vain"
        time.sleep(0.005)


def test_bytes_pass_and_are_counted(through: Proxy, echo: Echo) -> None:
    data = random.Random(1).randbytes(3_000_000)
    with dial(through) as client:
        sender = threading.Thread(target=lambda: (client.sendall(data), client.shutdown(socket.SHUT_WR)))
        sender.start()
        assert receive(client, len(data)) == data
        assert client.recv(1) == b""
        sender.join()
    assert (through.bytes_up, through.bytes_down, through.connections) == (len(data), len(data), 1)
    assert bytes(echo.got[0]) == data


@pytest.mark.parametrize("count", [0, 1, 999, 65_536, 500_001])
@pytest.mark.parametrize("mode", ["close", "rst", "hole"])
def test_upstream_is_cut_at_the_byte(through: Proxy, echo: Echo, count: int, mode: Mode) -> None:
    through.cut_after(count, mode, "up")
    with dial(through) as client:
        # The client never reads what comes back, so only the cut can stop it.
        sender = threading.Thread(target=send_quietly, args=(client, bytes(600_000)))
        sender.start()
        assert through.wait_cut(10) and through.has_cut
        wait_for(lambda: bool(echo.got) and len(echo.got[0]) == count)
        assert through.bytes_up == count
        if mode == "hole":
            assert not echo.ended.acquire(timeout=QUIET)
        else:
            assert echo.ended.acquire(timeout=10)
            assert mode == "rst" or echo.ends == ["close"]
        sender.join()
        assert end_of(client) == {"close": "close", "rst": "rst", "hole": "silence"}[mode]
    assert len(echo.got[0]) == count


def send_quietly(client: socket.socket, data: bytes) -> None:
    try:
        client.sendall(data)
    except ConnectionError:
        return


@pytest.mark.parametrize("mode", ["close", "rst", "hole"])
def test_downstream_is_cut_at_the_byte(through: Proxy, mode: Mode) -> None:
    through.cut_after(1234, mode, "down")
    with dial(through) as client:
        client.sendall(bytes(5000))
        assert len(receive(client, 1234)) == 1234
        assert end_of(client) == {"close": "close", "rst": "rst", "hole": "silence"}[mode]
    assert through.bytes_down == 1234


def test_both_directions_count_together_and_later_connections_go_on(through: Proxy) -> None:
    with dial(through) as first:
        first.sendall(b"abc")
        assert receive(first, 3) == b"abc"
        through.cut_after(7, "close", "both")
        first.sendall(b"wxyz")
        assert receive(first, 4) == b"wxy"
        assert end_of(first) == "close"
    with dial(through) as second:
        second.sendall(b"again")
        assert receive(second, 5) == b"again"


def test_a_cut_can_be_called_off(through: Proxy) -> None:
    through.cut_after(2)
    through.disarm()
    with dial(through) as client:
        client.sendall(b"12345")
        assert receive(client, 5) == b"12345"
    assert not through.has_cut
    with pytest.raises(ValueError, match="no such cut"):
        through.cut_after(1, "burn")  # type: ignore[arg-type]


def test_reset_all_and_close_all(through: Proxy) -> None:
    for action, end in ((through.reset_all, "rst"), (through.close_all, "close")):
        with dial(through) as one, dial(through) as two:
            for client in (one, two):
                client.sendall(b"x")
                assert receive(client, 1) == b"x"
            action()
            assert [end_of(one), end_of(two)] == [end, end]


def test_a_hole_swallows_old_and_later_connections_until_it_is_closed(through: Proxy, echo: Echo) -> None:
    with dial(through) as old:
        old.sendall(b"before")
        assert receive(old, 6) == b"before"
        through.hole(True)
        old.sendall(b"lost")
        with dial(through) as later:
            later.sendall(b"lost too")
            assert [end_of(old), end_of(later)] == ["silence", "silence"]
    through.hole(False)
    with dial(through) as fresh:
        fresh.settimeout(10)
        fresh.sendall(b"after")
        assert receive(fresh, 5) == b"after"
    assert [bytes(got) for got in echo.got] == [b"before", b"after"]


def test_delay_is_each_way_and_does_not_limit_the_rate(through: Proxy) -> None:
    through.delay_ms = 40
    data = bytes(4 << 20)
    with dial(through) as client:
        started = time.monotonic()
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
        assert time.monotonic() - started >= 0.080
        started = time.monotonic()
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert receive(client, len(data)) == data
        sender.join()
        # One piece at a time would take 32 round trips of 80 ms.
        assert 0.080 <= time.monotonic() - started < 1.5


def test_rate_is_limited(echo: Echo) -> None:
    with Proxy(*echo.where, rate_mib=2) as proxy, dial(proxy) as client:
        data = bytes(1 << 20)
        started = time.monotonic()
        sender = threading.Thread(target=client.sendall, args=(data,))
        sender.start()
        assert receive(client, len(data)) == data
        sender.join()
        assert 0.45 <= time.monotonic() - started < 5


def test_a_target_that_refuses(echo: Echo) -> None:
    with Proxy("127.0.0.1", 1) as proxy:
        try:
            client = dial(proxy)
        except ConnectionResetError:
            return  # as fast as a port that refuses
        with client:
            assert end_of(client) == "rst"


def test_ssh_through_it(farm: Callable[..., Farm], proxy: Callable[..., Proxy]) -> None:
    hosts = farm(1, fresh=True)
    front = proxy(hosts.hosts[0])
    host = hosts.through(0, front)
    assert host.ssh("head -c 100000 /dev/zero").stdout == bytes(100_000)
    assert front.bytes_down > 100_000
    front.cut_after(50_000, "close", "down")
    # Far more than all buffers hold: sshd tells a status as soon as the command has ended, before its output has left.
    cut = host.ssh("head -c 1000000000 /dev/zero")
    assert cut.returncode == 255 and len(cut.stdout) < 50_000


def test_closing_leaves_no_thread(echo: Echo) -> None:
    before = threading.active_count()
    proxy = Proxy(*echo.where)
    with proxy:
        client = dial(proxy)
        client.sendall(b"x")
        assert receive(client, 1) == b"x"
    assert end_of(client) in ("close", "rst")
    client.close()
    wait_for(lambda: threading.active_count() <= before)
    proxy.close()
