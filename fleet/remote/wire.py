"""Authenticated lines between the supervisors of one run: each proves the run's token, and every message carries a MAC.

The token came to each host over SSH in the launch request. It is never sent: both sides answer a fresh nonce with an
HMAC of it, and the key of the connection is made from both nonces, so nothing of an older connection can be replayed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import socket
from typing import Any

#: Bytes of the longest line that is taken.
LONGEST = 256 << 10
#: Seconds for a whole handshake.
HANDSHAKE = 5.0


class Refused(Exception):
    """The other side is not of this run, or does not speak as it should."""


class Wire:
    """One proven connection. Sending waits for the peer's window, a second at most; receiving never waits."""

    def __init__(self, connection: socket.socket, key: bytes, mine: str, node: int) -> None:
        self.connection, self.node = connection, node
        self._key, self._mine, self._theirs = key, mine, _OTHER[mine]
        self._sent = self._taken = 0
        self._buffer = b""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(1.0)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message. Raises OSError when the connection is broken or the peer does not read."""
        body = json.dumps(message).encode("utf-8")
        self.connection.sendall(_mac(self._key, self._mine, self._sent, body) + b" " + body + b"\n")
        self._sent += 1

    def receive(self) -> list[dict[str, Any]] | None:
        """The messages that are there, once the descriptor can be read; None when the peer has closed.

        Raises OSError, and Refused for a message whose MAC is wrong.
        """
        data = self.connection.recv(LONGEST)
        if not data:
            return None
        self._buffer += data
        *lines, self._buffer = self._buffer.split(b"\n")
        if len(self._buffer) > LONGEST:
            raise Refused("a line without an end")
        return [self._message(line) for line in lines]

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _message(self, line: bytes) -> dict[str, Any]:
        mac, _, body = line.partition(b" ")
        if not hmac.compare_digest(mac, _mac(self._key, self._theirs, self._taken, body)):
            raise Refused("a message that was changed on its way")
        self._taken += 1
        message = json.loads(body.decode("utf-8"))
        if not isinstance(message, dict):
            raise Refused("a message of another form")
        return message


_OTHER = {"lead": "member", "member": "lead"}


def welcome(connection: socket.socket, token: str, run: str, nodes: int) -> Wire:
    """The lead's side of a new connection. Raises Refused, OSError."""
    connection.settimeout(HANDSHAKE)
    nonce = os.urandom(16).hex()
    _put(connection, {"nonce": nonce})
    answer = _take(connection)
    theirs, node = answer.get("nonce"), answer.get("node")
    if not isinstance(theirs, str) or not isinstance(node, int) or not 0 <= node < nodes:
        raise Refused("an answer of another form")
    _check(answer, token, "member", run, node, nonce, theirs)
    _put(connection, {"proof": _proof(token, "lead", run, node, nonce, theirs)})
    return Wire(connection, _key(token, run, node, nonce, theirs), "lead", node)


def join(connection: socket.socket, token: str, run: str, node: int) -> Wire:
    """A member's side. Raises Refused, OSError."""
    connection.settimeout(HANDSHAKE)
    theirs = _take(connection).get("nonce")
    if not isinstance(theirs, str):
        raise Refused("a greeting of another form")
    nonce = os.urandom(16).hex()
    proof = _proof(token, "member", run, node, theirs, nonce)
    _put(connection, {"node": node, "nonce": nonce, "proof": proof})
    _check(_take(connection), token, "lead", run, node, theirs, nonce)
    return Wire(connection, _key(token, run, node, theirs, nonce), "member", node)


def _check(answer: dict[str, Any], token: str, side: str, run: str, node: int, first: str, second: str) -> None:
    expected = _proof(token, side, run, node, first, second)
    if not hmac.compare_digest(str(answer.get("proof", "")), expected):
        raise Refused("the other side does not know the token of this run")


def _proof(token: str, side: str, run: str, node: int, first: str, second: str) -> str:
    text = "|".join(("proof", side, run, str(node), first, second))
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).hexdigest()


def _key(token: str, run: str, node: int, first: str, second: str) -> bytes:
    text = "|".join(("key", run, str(node), first, second))
    return hmac.new(token.encode(), text.encode(), hashlib.sha256).digest()


def _mac(key: bytes, side: str, number: int, body: bytes) -> bytes:
    return hmac.new(key, f"{side}|{number}|".encode() + body, hashlib.sha256).hexdigest().encode()


def _put(connection: socket.socket, message: dict[str, Any]) -> None:
    connection.sendall(json.dumps(message).encode() + b"\n")


def _take(connection: socket.socket) -> dict[str, Any]:
    """One line, byte by byte: what follows it belongs to the wire."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte or len(line) > 4096:
            raise Refused("the connection ended in the middle of the greeting")
        line += byte
    try:
        message = json.loads(line.decode("utf-8"))
    except ValueError:
        raise Refused("a greeting that is no JSON") from None
    if not isinstance(message, dict):
        raise Refused("a greeting of another form")
    return message
