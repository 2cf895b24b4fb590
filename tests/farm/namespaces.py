"""Hosts in network and host-name namespaces of their own, for what loopback cannot show: links that die, names, routes.

Needs root. A hub namespace holds a bridge; every host is joined to it by a veth pair, and so is this machine, whose own
network gets one interface and nothing else. Addresses come from 198.18.0.0/15, which RFC 2544 reserves for tests.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

from tests.farm.hosts import FarmHost
from tests.farm.server import SYSTEM_PATH, Server
from tests.farm.sshd import Farm

#: Files that `ip netns exec` lays over those of /etc.
ETC = Path("/etc/netns")
LIMIT = "tbf rate {rate}mbit burst 64kb latency 100ms"


def missing_namespaces() -> str | None:
    """Why no network namespace can be made here, or None."""
    if os.getuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None or shutil.which("unshare") is None:
        return "no ip or unshare on this machine (Debian and Ubuntu: apt-get install iproute2 util-linux)"
    name = f"fleet-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True)
    if made.returncode != 0:
        return f"`ip netns add` fails: {made.stderr.strip()}"
    with_link = ["ip", "-n", name, "link", "add", "near0", "type", "veth", "peer", "name", "far0"]
    linked = subprocess.run(with_link, capture_output=True, text=True)
    _ip("netns", "del", name)
    return None if linked.returncode == 0 else f"no veth pair can be made: {linked.stderr.strip()}"


class Namespaces(Farm):
    """A farm whose hosts have their own network, host name, /etc/hosts and resolver; sshd listens on port 22 in each.

    Names that are not in /etc/hosts fail at once; with `silent_resolver` the server that resolv.conf names never
    answers, so that they take as long as on a host whose resolver is broken.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        *,
        config: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        silent_resolver: bool = False,
    ) -> None:
        assert count <= 200, "the hosts share one network of 254 addresses"
        super().__init__(folder, count, config=config, env=env)
        self._mark = f"{random.SystemRandom().randrange(1 << 20):05x}"
        number = int(self._mark, 16)
        self._network = f"198.{18 + (number >> 8) % 2}.{number & 255}"
        self._made: list[str] = []
        self._silent = f"{self._network}.253" if silent_resolver else None
        self._hub, self._bridge, self._near = f"fleet-{self._mark}-hub", "bridge", f"flt{self._mark}"
        self.hosts = [
            replace(host, address=f"{self._network}.{index + 1}", port=22) for index, host in enumerate(self.hosts)
        ]
        self._servers = [
            Server(self._folder(index), self._enter(index, self.hosts[index].name)) for index in range(count)
        ]
        self._write_known_hosts()

    def namespace(self, index: int) -> str:
        """The name of a host's network namespace."""
        return f"fleet-{self._mark}-{index}"

    def start(self) -> Self:
        """Make the network, then start the servers."""
        try:
            self._make_hub()
            for index in range(len(self.hosts)):
                self._join(index)
            return super().start()
        except BaseException:
            self.close()
            raise

    def link(self, index: int, up: bool) -> None:
        """Take a host's cable out, or put it back. Nobody is told; packets are lost."""
        _ip("-n", self._hub, "link", "set", self._port(index), "up" if up else "down")

    def rate(self, index: int, mbit: float | None) -> None:
        """Limit what goes to and from a host, in Mbit/s; None removes the limit."""
        ends = ((self._hub, self._port(index)), (self.namespace(index), "eth0"))
        for namespace, device in ends:
            removed = _command("tc", "-n", namespace, "qdisc", "del", "dev", device, "root")
            subprocess.run(removed, capture_output=True)
            if mbit is not None:
                _run("tc", "-n", namespace, "qdisc", "add", "dev", device, "root", *LIMIT.format(rate=mbit).split())

    def new_address(self, index: int, last: int) -> FarmHost:
        """Give the host another address, as a rented machine gets one when it starts again."""
        host = replace(self.hosts[index], address=f"{self._network}.{last}")
        self._servers[index].stop()
        _ip("-n", self.namespace(index), "addr", "flush", "dev", "eth0")
        _ip("-n", self.namespace(index), "addr", "add", f"{host.address}/24", "dev", "eth0")
        self.hosts[index] = host
        self.trust(index, host.address, host.port)
        self._configure(index)
        self.restart_host(index)
        return host

    def close(self) -> list[str]:
        """End the hosts as a farm does, then remove every namespace and file that this farm made."""
        survivors = super().close()
        for namespace in reversed(self._made):
            _ip("netns", "del", namespace)
            shutil.rmtree(ETC / namespace, ignore_errors=True)
        self._made.clear()
        with contextlib.suppress(OSError):  # another farm's folders may be in it
            ETC.rmdir()
        # The veth pair into this machine's network goes with the hub; the kernel does that a moment later.
        deadline = time.monotonic() + 10
        while Path("/sys/class/net", self._near).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return survivors

    def trust(self, index: int, address: str, port: int) -> None:
        """As for a farm; known_hosts has no brackets where the port is 22."""
        if port != 22:
            super().trust(index, address, port)
            return
        with self.known_hosts.open("a") as file:
            file.write(f"{address} {self._keys[index].public}\n")

    def _write_known_hosts(self) -> None:
        self.known_hosts.write_text("")
        for index, host in enumerate(self.hosts):
            self.trust(index, host.address, host.port)

    def _enter(self, index: int, hostname: str) -> list[str]:
        """Arguments that run what follows in a host's namespaces; each program is replaced by the next."""
        named = 'hostname "$1" && shift && exec "$@"'
        return ["ip", "netns", "exec", self.namespace(index), "unshare", "--uts", "sh", "-c", named, "sh", hostname]

    def _port(self, index: int) -> str:
        return f"port{index}"

    def _make_hub(self) -> None:
        self._add(self._hub)
        hub = ("-n", self._hub, "link")
        _ip(*hub, "add", self._bridge, "type", "bridge", "forward_delay", "0")
        _ip(*hub, "set", self._bridge, "up")
        _ip(*hub, "add", "near", "type", "veth", "peer", "name", self._near, "netns", str(os.getpid()))
        _ip(*hub, "set", "near", "master", self._bridge, "up")
        _ip("addr", "add", f"{self._network}.254/24", "dev", self._near)
        _ip("link", "set", self._near, "up")

    def _join(self, index: int) -> None:
        namespace, port = self.namespace(index), self._port(index)
        self._add(namespace)
        _ip("-n", self._hub, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", namespace)
        _ip("-n", self._hub, "link", "set", port, "master", self._bridge, "up")
        _ip("-n", namespace, "addr", "add", f"{self.hosts[index].address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", namespace, "link", "set", device, "up")
        _ip("-n", namespace, "route", "add", "default", "via", f"{self._network}.254")
        if self._silent is not None:
            # A known hardware address that nobody has: packets leave, and not even their failure comes back.
            nobody = ("lladdr", "02:00:00:00:00:01", "dev", "eth0", "nud", "permanent")
            _ip("-n", namespace, "neigh", "add", self._silent, *nobody)

    def _add(self, namespace: str) -> None:
        # The folder comes first: `ip netns exec` lays its files over /etc each time it enters.
        folder = ETC / namespace
        folder.mkdir(parents=True)
        self._made.append(namespace)
        named = "".join(f"{host.address} {host.name}\n" for host in self.hosts)
        (folder / "hosts").write_text(f"127.0.0.1 localhost\n{named}")
        (folder / "resolv.conf").write_text(f"nameserver {self._silent or '127.0.0.1'}\n")
        _ip("netns", "add", namespace)


def _command(*argv: str) -> list[str]:
    found = shutil.which(argv[0], path=SYSTEM_PATH)
    if found is None:
        raise FileNotFoundError(f"no {argv[0]} on this machine (Debian and Ubuntu: apt-get install iproute2)")
    return [found, *argv[1:]]


def _run(*argv: str) -> None:
    done = subprocess.run(_command(*argv), capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"`{' '.join(argv)}` fails: {done.stderr.strip() or done.stdout.strip()}")


def _ip(*argv: str) -> None:
    _run("ip", *argv)
