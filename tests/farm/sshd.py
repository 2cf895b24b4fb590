"""A farm of hosts: OpenSSH servers of this machine, each with its own address, port, home, key and environment."""

from __future__ import annotations

import getpass
import itertools
import json
import os
import random
import socket
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from tests.farm.hosts import FarmHost
from tests.farm.keys import Key, make_key
from tests.farm.processes import Process, carrying, end_all
from tests.farm.server import SYSTEM_PATH, Server

__all__ = ["Endpoint", "Farm", "FarmHost"]

#: A folder of tools for all hosts, or one for each by its number.
Tools = Path | Callable[[int], Path]


class Endpoint(Protocol):
    """Something that listens in a host's place, such as a proxy."""

    address: str
    port: int


class Farm:
    """Hosts h0, h1, ... that run until `close`, or as a context manager.

    `path_first` goes before the system's folders on the hosts' PATH, `path` replaces it whole; `config` are more lines
    of sshd_config, and win over the farm's own; `env` are more variables of every login.
    """

    def __init__(
        self,
        folder: Path,
        count: int,
        *,
        path_first: Tools | None = None,
        path: Tools | None = None,
        config: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.folder, self._config, self._env = folder, tuple(config), dict(env or {})
        self._path_first, self._path = path_first, path
        folder.mkdir(parents=True, exist_ok=True)
        self._client = make_key(folder / "id_ed25519")
        self.known_hosts = folder / "known_hosts"
        # Two farms on one machine, even of two test sessions, take different addresses with near certainty.
        first = random.SystemRandom().randrange(1 << 16, (1 << 24) - count - 512)
        numbers = (number for number in itertools.count(first) if number % 256 not in (0, 255))
        self._keys = [make_key(self._folder(index) / "host_key") for index in range(count)]
        self.hosts = [self._host(index, _address(next(numbers))) for index in range(count)]
        self._servers = [Server(self._folder(index)) for index in range(count)]
        self._write_known_hosts()

    def start(self) -> Self:
        """Start all servers at once and wait until they listen."""
        for index in range(len(self.hosts)):
            self._configure(index)
            self._servers[index].start()
        for server in self._servers:
            server.wait_ready(time.monotonic() + 30)
        return self

    def stop_host(self, index: int) -> None:
        """The server ends and its connections with it; the host's commands see that and go on. The port is closed."""
        self._servers[index].stop()

    def restart_host(self, index: int) -> None:
        """End the server with its connections, if it runs, and start it again with the same address and key."""
        self._servers[index].stop()
        self._servers[index].start()
        self._servers[index].wait_ready(time.monotonic() + 30)

    def new_host_key(self, index: int) -> FarmHost:
        """Give the host another key and restart it; `known_hosts` still lists the old one."""
        self._servers[index].stop()
        self._keys[index] = make_key(self._folder(index) / "host_key")
        self.hosts[index] = replace(self.hosts[index], host_key=self._keys[index].fingerprint)
        self._configure(index)
        self.restart_host(index)
        return self.hosts[index]

    def trust(self, index: int, address: str, port: int) -> None:
        """Say in `known_hosts` that this host's key, as it is now, is also right for another address."""
        with self.known_hosts.open("a") as file:
            file.write(f"[{address}]:{port} {self._keys[index].public}\n")

    def through(self, index: int, endpoint: Endpoint) -> FarmHost:
        """The host as it is reached through a proxy, whose address becomes a trusted one."""
        self.trust(index, endpoint.address, endpoint.port)
        return replace(self.hosts[index], address=endpoint.address, port=endpoint.port)

    def fleet_json(
        self,
        directory: Path,
        *,
        hosts: Iterable[FarmHost] | None = None,
        instances: Mapping[str, Mapping[str, Any]] | None = None,
        groups: Mapping[str, Mapping[str, Any]] | None = None,
        project: str = "hydra",
        **defaults: Any,
    ) -> Path:
        """Write `fleet.json` for these hosts (all, if not given) and `.fleet/known_hosts`; returns the former.

        Instances are named as the hosts; `instances` adds keys to some of them, or whole ones. `defaults` are keys of
        the section of that name.
        """
        chosen = self.hosts if hosts is None else list(hosts)
        whole: dict[str, Any] = {
            "version": 1,
            "project": project,
            "defaults": {"user": chosen[0].user, "identity": str(self._client.path), **defaults},
            "instances": {host.name: {"host": host.address, "port": host.port} for host in chosen},
        }
        for name, more in (instances or {}).items():
            whole["instances"].setdefault(name, {}).update(more)
        if groups:
            whole["groups"] = {name: dict(group) for name, group in groups.items()}
        state = directory / ".fleet"
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.chmod(0o700)
        (state / "known_hosts").touch(0o600)
        (state / "known_hosts").write_text(self.known_hosts.read_text())
        path = directory / "fleet.json"
        path.write_text(json.dumps(whole, indent=2) + "\n")
        return path

    def close(self) -> list[str]:
        """End the servers, their connections and commands; then whatever outlived them on a host.

        Returns the command lines of the latter: commands that detached themselves and that their test did not end.
        """
        for server in self._servers:
            server.stop(commands=True)
        homes = {str(host.home) for host in self.hosts}
        survivors = _survivors(homes)
        # What was about to end by itself, since its connection is gone, is no survivor.
        deadline = time.monotonic() + 2
        while survivors and time.monotonic() < deadline:
            time.sleep(0.02)
            survivors = [one for one in survivors if one.alive()]
        told = [f"{one.environ().get('FLEET_HOST', '?')} pid {one.pid}: {' '.join(one.argv())}" for one in survivors]
        end_all(_survivors(homes))
        return told

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _folder(self, index: int) -> Path:
        folder = self.folder / f"h{index}"
        folder.mkdir(exist_ok=True)
        return folder

    def _host(self, index: int, address: str) -> FarmHost:
        folder = self._folder(index)
        home = folder / "home"
        (home / ".ssh").mkdir(mode=0o700, parents=True)
        (home / ".ssh" / "authorized_keys").touch(0o600)
        (home / ".ssh" / "authorized_keys").write_text(f"{self._client.public} farm\n")
        return FarmHost(
            name=f"h{index}",
            address=address,
            port=_free_port(address),
            user=getpass.getuser(),
            identity=self._client.path,
            home=home,
            host_key=self._keys[index].fingerprint,
            known_hosts=self.known_hosts,
            log=folder / "sshd.log",
        )

    def _configure(self, index: int) -> None:
        first, whole = _chosen(self._path_first, index), _chosen(self._path, index)
        path = str(whole or SYSTEM_PATH)
        path = path if first is None else f"{first}{os.pathsep}{path}"
        self._servers[index].configure(self.hosts[index], self._keys[index], {"PATH": path, **self._env}, self._config)

    def _write_known_hosts(self) -> None:
        pairs: Iterable[tuple[FarmHost, Key]] = zip(self.hosts, self._keys, strict=True)
        self.known_hosts.write_text("".join(f"[{host.address}]:{host.port} {key.public}\n" for host, key in pairs))


def _chosen(tools: Tools | None, index: int) -> Path | None:
    return tools(index) if callable(tools) else tools


def _address(number: int) -> str:
    return f"127.{number >> 16}.{number >> 8 & 255}.{number & 255}"


def _free_port(address: str) -> int:
    with socket.socket() as probe:
        probe.bind((address, 0))
        port: int = probe.getsockname()[1]
        return port


def _survivors(homes: set[str]) -> list[Process]:
    return [one for one in carrying({"FLEET_HOST": None, "HOME": None}) if one.environ().get("HOME") in homes]
