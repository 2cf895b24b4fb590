"""`network`: what this host knows of its way to the others of a group, and whether their ports can be reached.

Names are looked up and timed here, because a slow look-up on a host stalls every rendezvous by half a minute, and that
cannot be seen from the controller.
"""

from __future__ import annotations

import fcntl
import selectors
import socket
import struct
import time
from typing import Any

_SIOCGIFADDR = 0x8915
#: Seconds that a connection to a port may take.
_REACH = 3.0


def main(request: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Answer a question: `facts` (own, peer), `listen` (address, ports, seconds), `reach` (address, ports, seconds)."""
    if request["op"] == "facts":
        return facts(request["own"], request["peer"]), 0
    if request["op"] == "listen":
        return listen(request["address"], request["ports"], float(request["seconds"])), 0
    return reach(request["address"], request["ports"], float(request["seconds"])), 0


def facts(own: str, peer: str) -> dict[str, Any]:
    """The address of this host that its peers reach, the interface towards them, and how long look-ups take.

    `own` and `peer` are names or numbers as SSH uses them. An address of ours that SSH uses is taken as it is; behind a
    translation of addresses it is the one that this host sends from towards the peer.
    """
    begun = time.monotonic()
    peer_number, error = _number(peer)
    seconds = time.monotonic() - begun
    if peer_number is None:
        return {"error_text": f"{peer} cannot be looked up: {error}", "lookup_s": round(seconds, 3)}
    own_number, _ = _number(own)
    address = own_number if own_number is not None and _is_ours(own_number) else _source(peer_number)
    begun = time.monotonic()
    # What rendezvous does to every peer; no name at all is as good as one, as long as it comes at once.
    socket.getnameinfo((peer_number, 0), 0)
    reverse = time.monotonic() - begun
    return {
        "address": address,
        "interface": None if address is None else interface_of(address),
        "lookup_s": round(seconds, 3),
        "reverse_s": round(reverse, 3),
        "host_name": socket.gethostname(),
    }


def listen(address: str, ports: list[int], seconds: float) -> dict[str, Any]:
    """Take connections on ports for some seconds, and say which ports could be taken."""
    taken: dict[str, str] = {}
    selector = selectors.DefaultSelector()
    listeners = []
    for port in ports:
        try:
            listener = socket.create_server((address, port))
        except OSError as error:
            taken[str(port)] = error.strerror or str(error)
            continue
        listeners.append(listener)
        selector.register(listener, selectors.EVENT_READ)
    end = time.monotonic() + (0.0 if taken else seconds)
    while time.monotonic() < end:
        for key, _ in selector.select(min(0.1, max(0.0, end - time.monotonic()))):
            waiting = key.fileobj
            assert isinstance(waiting, socket.socket)
            waiting.accept()[0].close()
    for listener in listeners:
        listener.close()
    return {"refused": taken}


def reach(address: str, ports: list[int], seconds: float) -> dict[str, Any]:
    """Connect to ports, again until it succeeds or time is over; milliseconds by port, or the reason."""
    found: dict[str, Any] = {}
    for port in ports:
        end = time.monotonic() + seconds
        while True:
            begun = time.monotonic()
            try:
                socket.create_connection((address, port), timeout=_REACH).close()
                found[str(port)] = {"ms": round(1000 * (time.monotonic() - begun), 2)}
                break
            except OSError as error:
                found[str(port)] = {"reason": error.strerror or str(error)}
            if time.monotonic() >= end:
                break
            time.sleep(0.1)
    return {"ports": found}


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


def _number(name: str) -> tuple[str | None, str]:
    try:
        rows = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_STREAM)
    except OSError as error:
        return None, error.strerror or str(error)
    return str(rows[0][4][0]), ""


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
