"""Authenticated lines between the supervisors of one run: each proves the run's token, and every message carries a MAC.

The token came to each host over SSH in the launch request. It is never sent: both sides answer a fresh nonce with an
HMAC of it, and the key of the connection is made from both nonces, so nothing of an older connection can be replayed.
Nothing here waits for a peer but `join`. Until a peer has proved the token, what it says has a fixed form and length.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import re
import select
import socket
import time
from typing import Any

#: Bytes of the longest line that is taken, and of all that waits for a peer which does not read.
LONGEST = 256 << 10

_GREETING = re.compile(rb"fleet-group 1 ([0-9a-f]{32})")
_ANSWER = re.compile(rb"([0-9]{1,4}) ([0-9a-f]{32}) ([0-9a-f]{64})")
_PROOF = re.compile(rb"[0-9a-f]{64}")
#: Bytes of the longest line of a handshake, its newline included.
_HANDSHAKE_BYTES = 128
_OTHER = {"lead": "member", "member": "lead"}


class Refused(Exception):
    """The other side is not of this run, or does not speak as it should."""


class Wire:
    """One proven connection. Neither sending nor receiving ever waits."""

    def __init__(self, connection: socket.socket, key: bytes, mine: str, node: int, read: bytes = b"") -> None:
        """`mine` is this side, `lead` or `member`; `read` is what came behind the handshake."""
        self.connection, self.node = connection, node
        self._key, self._mine, self._theirs = key, mine, _OTHER[mine]
        self._sent = self._taken = 0
        self._read, self._waiting = read, b""
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)

    def send(self, message: dict[str, Any]) -> None:
        """Send a message, as far as the peer takes it; `flush` sends the rest. Raises OSError if it takes nothing."""
        body = json.dumps(message).encode("ascii")
        self._waiting += _mac(self._key, self._mine, self._sent, body) + b" " + body + b"\n"
        self._sent += 1
        self.flush()
        if len(self._waiting) > LONGEST:
            raise OSError("the peer does not read")

    def flush(self) -> None:
        """Send what waits, as far as the peer takes it. Raises OSError."""
        try:
            while self._waiting:
                self._waiting = self._waiting[self.connection.send(self._waiting) :]
        except BlockingIOError:
            return

    def receive(self) -> list[dict[str, Any]] | None:
        """The messages that are there; None when the peer has closed.

        Raises OSError, and Refused for a message whose MAC is wrong.
        """
        try:
            data = self.connection.recv(LONGEST)
        except BlockingIOError:
            data = b""
        else:
            if not data:
                return None
        *lines, self._read = (self._read + data).split(b"\n")
        if len(self._read) > LONGEST:
            raise Refused("a line without an end")
        return [self._message(line) for line in lines]

    def finish(self) -> None:
        """Say that nothing more will be sent. What was sent arrives, if the peer reads to the end before `close`."""
        self.connection.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()

    def _message(self, line: bytes) -> dict[str, Any]:
        mac, _, body = line.partition(b" ")
        if not hmac.compare_digest(mac, _mac(self._key, self._theirs, self._taken, body)):
            raise Refused("a message that was changed on its way")
        self._taken += 1
        message = json.loads(body.decode("ascii"))
        if not isinstance(message, dict):
            raise Refused("a message of another form")
        return message


class Guest:
    """A connection to the lead that has proved nothing yet."""

    def __init__(self, connection: socket.socket, token: str, run: str, nodes: int, until: float) -> None:
        """Greets the newcomer, who has until the monotonic time `until`. Raises OSError."""
        self.connection, self.until = connection, until
        self._token, self._run, self._nodes = token, run, nodes
        self._nonce, self._read = os.urandom(16).hex(), b""
        connection.setblocking(False)
        # An empty send buffer takes a line whole.
        connection.send(b"fleet-group 1 %s\n" % self._nonce.encode("ascii"))

    def answer(self) -> Wire | None:
        """Take what the newcomer says; the wire once it has proved the token. Raises Refused, OSError."""
        data = self.connection.recv(_HANDSHAKE_BYTES)
        self._read += data
        line, end, rest = self._read.partition(b"\n")
        if not end:
            if not data or len(self._read) >= _HANDSHAKE_BYTES:
                raise Refused("no answer to the greeting")
            return None
        match = _ANSWER.fullmatch(line)
        # Before it has our own proof, a member has nothing more to say.
        if match is None or rest or int(match[1]) >= self._nodes:
            raise Refused("an answer of another form")
        node, theirs = int(match[1]), match[2].decode("ascii")
        _check(match[3], self._token, "member", self._run, node, self._nonce, theirs)
        self.connection.send(_proof(self._token, "lead", self._run, node, self._nonce, theirs) + b"\n")
        return Wire(self.connection, _key(self._token, self._run, node, self._nonce, theirs), "lead", node)

    def close(self) -> None:
        """Close the connection."""
        self.connection.close()


def join(connection: socket.socket, token: str, run: str, node: int, seconds: float) -> Wire:
    """A member's side of the handshake, which must be over in so many seconds. Raises Refused, OSError."""
    until = time.monotonic() + seconds
    connection.settimeout(seconds)
    greeting, _ = _line(connection, b"", until)
    match = _GREETING.fullmatch(greeting)
    if match is None:
        raise Refused("what answers there is no lead of a run")
    theirs, nonce = match[1].decode("ascii"), os.urandom(16).hex()
    proof = _proof(token, "member", run, node, theirs, nonce)
    connection.sendall(b"%d %s %s\n" % (node, nonce.encode("ascii"), proof))
    answer, rest = _line(connection, b"", until)
    _check(answer, token, "lead", run, node, theirs, nonce)
    return Wire(connection, _key(token, run, node, theirs, nonce), "member", node, rest)


def _line(connection: socket.socket, read: bytes, until: float) -> tuple[bytes, bytes]:
    """One line of the handshake, and what came behind it."""
    while b"\n" not in read[:_HANDSHAKE_BYTES]:
        if len(read) >= _HANDSHAKE_BYTES:
            raise Refused("what answers there is no lead of a run")
        left = until - time.monotonic()
        if left <= 0 or not select.select([connection], [], [], left)[0]:
            raise Refused("the lead does not answer in time")
        data = connection.recv(4096)
        if not data:
            raise Refused("the lead does not take this node: it is of another run, or has another token")
        read += data
    line, _, rest = read.partition(b"\n")
    return line, rest


def _check(proof: bytes, token: str, side: str, run: str, node: int, first: str, second: str) -> None:
    expected = _proof(token, side, run, node, first, second)
    if not _PROOF.fullmatch(proof) or not hmac.compare_digest(proof, expected):
        raise Refused("the other side does not know the token of this run")


def _proof(token: str, side: str, run: str, node: int, first: str, second: str) -> bytes:
    text = "|".join(("proof", side, run, str(node), first, second))
    return hmac.new(token.encode("ascii"), text.encode("ascii"), hashlib.sha256).hexdigest().encode("ascii")


def _key(token: str, run: str, node: int, first: str, second: str) -> bytes:
    text = "|".join(("key", run, str(node), first, second))
    return hmac.new(token.encode("ascii"), text.encode("ascii"), hashlib.sha256).digest()


def _mac(key: bytes, side: str, number: int, body: bytes) -> bytes:
    return hmac.new(key, f"{side}|{number}|".encode("ascii") + body, hashlib.sha256).hexdigest().encode("ascii")
