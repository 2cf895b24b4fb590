"""TCP to a host's SSH port, with a deadline that also holds for the look-up of its name."""

from __future__ import annotations

import queue
import socket
import threading
from typing import Any

from fleet.ssh.configuration import Settings
from fleet.ssh.deadline import Deadline
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.failures import silence, unreachable
from fleet.ssh.link import SocketLink

#: Seconds for the name and the TCP connection.
CONNECT = 10.0
#: Address family, and an address of that family.
_Address = tuple[int, Any]


def dial(endpoint: Endpoint, settings: Settings, deadline: Deadline) -> SocketLink:
    """Connect by TCP, to each of the host's addresses in turn. Raises Unreachable, DeadlinePassed."""
    limit = deadline.sooner(CONNECT)
    addresses = _resolve(endpoint, settings, limit)
    failure = "no time was left"
    for tried, (family, address) in enumerate(addresses):
        below = socket.socket(family, socket.SOCK_STREAM)
        # An address that does not answer must leave time for the others.
        seconds = max(0.01, limit.remaining() / (len(addresses) - tried))
        below.settimeout(seconds)
        try:
            below.connect(address)
        except OSError as error:
            below.close()
            failure = error.strerror or f"{silence(seconds)} while connecting"
        else:
            return SocketLink(below, endpoint.watchdog)
    deadline.check(f"connecting to {endpoint.name}")
    raise unreachable(endpoint, f"{settings.hostname} port {settings.port}: {failure}", "no TCP connection came about")


def _resolve(endpoint: Endpoint, settings: Settings, limit: Deadline) -> list[_Address]:
    """The host's addresses. The system's resolver knows no deadline, so a name is looked up in a thread."""
    # As bytes, or Python would load its tables for international names first.
    host = settings.hostname.encode("ascii") if settings.hostname.isascii() else settings.hostname
    try:
        return _lookup(host, settings.port, socket.AI_NUMERICHOST)
    except OSError:
        answers: queue.SimpleQueue[list[_Address] | OSError] = queue.SimpleQueue()
    threading.Thread(
        target=lambda: answers.put(_looked_up(host, settings.port)), name=f"resolve {endpoint.name}", daemon=True
    ).start()
    try:
        answer = answers.get(timeout=limit.remaining())
    except queue.Empty:
        answer = TimeoutError("the name servers do not answer")
    if isinstance(answer, OSError):
        raise unreachable(
            endpoint,
            f"the name {settings.hostname} has no address: {answer.strerror or answer}",
            "the system's resolver does not know it",
            "write the host's address or its right name in fleet.json",
        ) from answer
    return answer


def _looked_up(host: bytes | str, port: int) -> list[_Address] | OSError:
    try:
        return _lookup(host, port, 0)
    except OSError as error:
        return error


def _lookup(host: bytes | str, port: int, flags: int) -> list[_Address]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]
