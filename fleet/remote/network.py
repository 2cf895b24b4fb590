"""`network`: what this host knows of its way to the others of a group, and whether their ports can be reached.

Names are looked up and timed here, because a slow look-up on a host stalls every rendezvous by half a minute, and that
cannot be seen from the controller. Groups meet over IPv4.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from fleet.remote.fields import NAME, Fields
from fleet.remote.meeting import Meeting
from fleet.remote.places import DeployDir
from fleet.remote.refusal import Answer, answered, usage

_SIOCGIFADDR = 0x8915
#: Look-ups at once.
_LOOKUPS = 32


def main(request: Any) -> tuple[Answer, int]:
    """Answer a question by its `op`: `own`, `peers`, `listen` or `reach`, with the arguments of the functions below.

    `own` leaves a mark in the deploy_dir, and `peers`, asked when all have answered, says whose marks are there:
    `shared`. Supervisors of two hosts cannot keep one run directory.
    """
    return answered(_answer, request)


def _answer(request: Answer) -> Answer:
    fields = Fields(request, "network")
    op = fields.text("op")
    if op in ("own", "peers"):
        mark = Mark(DeployDir.at(fields.text("deploy_dir")).path, fields.text("mark", NAME))
        me = fields.text("name", NAME)
        if op == "own":
            mark.put(me)
            found = own(
                fields.text("own"), fields.words("peers"), tuple(int(port) for port in fields.words("ports", []))
            )
        else:
            names = fields.words("names")
            found = peers(dict(zip(fields.words("hosts"), fields.words("addresses"))))
            found["shared"] = mark.seen(names)
            mark.remove(me)
    elif op in ("listen", "reach"):
        ports = tuple(int(port) for port in fields.words("ports"))
        meeting = Meeting(fields.text("address"), ports, fields.text("token"), fields.seconds("seconds", 5))
        found = meeting.listen(set(fields.words("guests"))) if op == "listen" else meeting.reach(fields.text("name"))
    else:
        raise usage(f"network {op!r}", why="it is no question", fix="ask one of the four", example='"op": "own"')
    fields.finish()
    return found


class Mark(NamedTuple):
    """A file in a deploy_dir by which another host that shares the folder is recognized."""

    folder: str
    mark: str

    def put(self, name: str) -> None:
        """Leave the mark of a host, unless there is no deploy_dir yet: then there is nothing to share."""
        if os.path.isdir(self.folder):
            with open(self._path(name), "w", encoding="ascii") as file:
                file.write(self.mark)

    def seen(self, names: tuple[str, ...]) -> list[str]:
        """The hosts whose marks are here."""
        return [name for name in names if self._read(name) == self.mark]

    def remove(self, name: str) -> None:
        """Take the mark away."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._path(name))

    def _read(self, name: str) -> str | None:
        try:
            with open(self._path(name), encoding="ascii", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def _path(self, name: str) -> str:
        return os.path.join(self.folder, f".group-{name}")


def own(name: str, others: tuple[str, ...], ports: tuple[int, ...] = ()) -> Answer:
    """`{"address", "interface", "host_name"}`: the address of this host that the others reach, and its interface; or
    `{"problem"}`, with the port as `taken` when it is that one of these ports is not free.

    `name` and `others` are names or numbers as SSH uses them. An address of ours that SSH uses is taken as it is;
    behind a translation of addresses it is the one that this host sends from towards the others.
    """
    found = [_number(other) for other in others]
    number, problem = next(((number, error) for number, error in found if number is not None), found[0])
    if number is None:
        return {"problem": f"{others[0]} cannot be looked up: {problem}"}
    mine, _ = _number(name)
    # Many systems give the loopback for their own name, and nobody else reaches that.
    local = mine is not None and mine.startswith("127.") and not number.startswith("127.")
    address = mine if mine is not None and not local and _is_ours(mine) else _source(number)
    if address is None:
        return {"problem": f"there is no route to {others[0]} ({number})"}
    for port in ports:
        try:
            socket.create_server((address, port)).close()
        except OSError as error:
            return {"problem": f"its port {port} is not free: {os.strerror(error.errno or 0)}", "taken": port}
    return {"address": address, "interface": interface_of(address), "host_name": socket.gethostname()}


def peers(hosts: dict[str, str]) -> Answer:
    """`{"peers": {address: {"lookup_s", "reverse_s", "interface"}}}` of each name (or number) and its address.

    That is what rendezvous does with every peer: the name behind an address is looked up when it connects. No name at
    all is as good as one, as long as the answer comes at once.
    """
    with ThreadPoolExecutor(_LOOKUPS) as threads:
        lookups = threads.map(lambda name: _seconds(lambda: _number(name)), hosts)
        reverse = threads.map(lambda address: _seconds(lambda: _name(address)), hosts.values())
        rows = zip(hosts.values(), lookups, reverse)
        return {"peers": {address: _way(address, there, back) for address, there, back in rows}}


def _way(address: str, lookup: float, reverse: float) -> dict[str, Any]:
    source = _source(address)
    interface = None if source is None else interface_of(source)
    return {"lookup_s": round(lookup, 3), "reverse_s": round(reverse, 3), "interface": interface}


def interface_of(address: str) -> str | None:
    """The interface that has an address; of the loopback range, the loopback."""
    if address.startswith("127."):
        return "lo"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        for _, name in socket.if_nameindex():
            wanted = struct.pack("256s", name.encode()[:15])
            try:
                answer = fcntl.ioctl(asked.fileno(), _SIOCGIFADDR, wanted)
            except OSError:
                # An interface without an IPv4 address.
                continue
            if socket.inet_ntoa(answer[20:24]) == address:
                return name
    return None


def _seconds(action: Any) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def _number(name: str) -> tuple[str | None, str]:
    """The IPv4 address of a name, or None and why there is none."""
    try:
        rows = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        return None, f"no IPv4 address ({error.strerror or error})"
    return str(rows[0][4][0]), ""


def _name(address: str) -> str | None:
    """The name of an address, or None if there is none, or if nobody who could know answers."""
    try:
        return socket.getnameinfo((address, 0), 0)[0]
    except OSError:
        return None


def _is_ours(address: str) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


def _source(peer: str) -> str | None:
    """The address that packets to a peer leave from. Nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((peer, 9))
        except OSError:
            return None
        return str(probe.getsockname()[0])
