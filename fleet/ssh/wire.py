"""The SSH library, paramiko, tuned: everything that `fleet` uses of it without its being published is in this file.

Any release may rename such things, so tests/fleet/ssh/test_wire.py looks for each of them by name.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, cast

from fleet.ssh.inbox import Inbox
from fleet.ssh.lean import lean_import
from fleet.ssh.link import Link
from fleet.ssh.transport import Stream

with lean_import():
    import paramiko
    from paramiko import common
    from paramiko.packet import Packetizer
    from paramiko.pkey import UnknownKeyType

__all__ = ["Wire", "agent_keys", "paramiko", "read_key_file"]

#: The same classes, for what the types do not publish either.
_Channel: Any = paramiko.Channel
_Transport: Any = paramiko.Transport

# Failures are raised and told there; a library's log on the terminal would only repeat them.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class _Packets(Packetizer):
    # A rekey asked for by the client can end a bulk transfer (paramiko issue 822). The server still asks for its own.
    REKEY_BYTES = REKEY_PACKETS = 1 << 40

    def start_handshake(self, timeout: float) -> None:
        """No timer thread: whoever connects has a deadline, and a failed handshake would leave the thread behind."""


class _Tap:
    """Stands where paramiko keeps one stream's output, and passes it on to the inbox of both."""

    def __init__(self, inbox: Inbox, stream: Stream) -> None:
        self._inbox, self._stream = inbox, stream

    def feed(self, data: bytes) -> None:
        self._inbox.feed(self._stream, data)

    def read(self, count: int, timeout: float | None = None) -> bytes:
        """The oldest piece, whole, which must be of this stream: never blocks."""
        stream, data = self._inbox.pieces.popleft()
        assert stream == self._stream
        return data

    def close(self) -> None:
        self._inbox.ended = True
        self._inbox.notice()


class Wire(paramiko.Transport):
    """One SSH connection: key exchange, then authentication, then channels."""

    _preferred_ciphers = ("aes128-gcm@openssh.com", "aes256-gcm@openssh.com", "aes128-ctr", "aes256-ctr")
    _preferred_macs = ("hmac-sha2-256-etm@openssh.com", "hmac-sha2-512-etm@openssh.com", "hmac-sha2-256")

    #: What to do with messages to a channel. Filled below, where those functions are.
    _channel_handler_table: ClassVar[dict[int, Callable[[paramiko.Channel, paramiko.Message], None]]]

    def __init__(self, link: Link, name: str, algorithms: tuple[str, ...]) -> None:
        super().__init__(cast(Any, link), packetizer_class=_Packets)
        self.name = f"ssh {name}"
        self.link = link
        self._algorithms = algorithms
        self.farewell = ""
        """What the server said when it ended the connection, if it said anything."""

    @property
    def preferred_keys(self) -> tuple[str, ...]:
        """Host key algorithms to offer: plain ones only, since paramiko cannot verify host certificates."""
        return self._algorithms

    @property
    def greeted(self) -> bool:
        """Whether the server has said what it is."""
        return bool(self.remote_version)

    def watch(self) -> None:
        """From now on, ask a silent server whether it lives, and end the connection when it does not answer."""
        self.link.watch(self._ask_alive)

    def end(self) -> None:
        """Close the connection and wait for its thread, which ends at once."""
        self.close()
        self.link.close()
        if self.is_alive() and self is not threading.current_thread():
            self.join(2)

    def start_command(self, channel: paramiko.Channel, line: str) -> Inbox:
        """Ask for a command on an open session, without waiting for the answer: input may follow at once."""
        inbox = Inbox()
        cast(Any, channel).in_buffer = _Tap(inbox, "out")
        cast(Any, channel).in_stderr_buffer = _Tap(inbox, "err")
        if channel.closed:
            inbox.ended = True
        request = paramiko.Message()
        request.add_byte(common.cMSG_CHANNEL_REQUEST)
        request.add_int(channel.remote_chanid)
        request.add_string("exec")
        request.add_boolean(True)
        request.add_string(line.encode("utf-8", "surrogateescape"))
        _Transport._send_user_message(self, request)
        return inbox

    def _parse_disconnect(self, message: paramiko.Message) -> None:
        """The server says why it ends the connection; paramiko only logs it."""
        message.get_int()
        self.farewell = message.get_text().strip()
        self.link.failure = self.link.failure or f"the host says: {self.farewell}"

    def _ask_alive(self) -> None:
        """Called by the reading thread, which must not wait for the end of a key exchange that it drives itself."""
        if self.clear_to_send.is_set():
            request = paramiko.Message()
            request.add_byte(common.cMSG_GLOBAL_REQUEST)
            request.add_string("keepalive@openssh.com")
            request.add_boolean(True)
            _Transport._send_message(self, request)


def read_key_file(path: Path, passphrase: str | None) -> paramiko.PKey:
    """A private key, with the certificate beside it if there is one. Raises OSError, ValueError, TypeError or
    SSHException for a file that is no key, or one that this passphrase does not open."""
    try:
        # It hands the passphrase on as it is, and what it hands it to wants bytes.
        return paramiko.PKey.from_path(path, cast(Any, passphrase.encode() if passphrase is not None else None))
    except UnknownKeyType as error:
        raise ValueError(f"keys of type {error.key_type} are not supported") from error


def agent_keys(path: str | None) -> tuple[paramiko.AgentKey, ...]:
    """The keys of the agent at a socket, or of the login session's own agent; none if no agent answers."""
    if path is None:
        return paramiko.Agent().get_keys()
    agent, connection = paramiko.Agent.__new__(paramiko.Agent), socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
        cast(Any, agent)._connect(connection)
    except (OSError, paramiko.SSHException):
        connection.close()
        return ()
    return agent.get_keys()


def _inbox(channel: paramiko.Channel) -> Inbox | None:
    tap = channel.in_buffer
    return tap._inbox if isinstance(tap, _Tap) else None


def _on_request(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """Also understands how a command died, and that it reads no more; paramiko drops both."""
    inbox, rest = _inbox(channel), paramiko.Message(message.get_remainder())
    kind, _ = rest.get_text(), rest.get_boolean()
    if inbox is not None and kind == "exit-signal":
        inbox.died_of(rest.get_text())
    elif inbox is not None and kind == "exit-status":
        inbox.status = rest.get_int()
    elif inbox is not None and kind == "eow@openssh.com":
        inbox.deaf = True
    _Channel._handle_request(channel, message)
    if inbox is not None:
        inbox.notice()


def _on_window(channel: paramiko.Channel, message: paramiko.Message) -> None:
    _Channel._window_adjust(channel, message)
    # Of no interest once the input has ended, as it has at once for most commands.
    if not channel.eof_sent and (inbox := _inbox(channel)) is not None:
        inbox.notice()


def _on_refusal(channel: paramiko.Channel, message: paramiko.Message) -> None:
    if (inbox := _inbox(channel)) is not None:
        inbox.refused = True
    _Channel._request_failed(channel, message)


def _has_ended(channel: paramiko.Channel, inbox: Inbox) -> None:
    """All output has come, unless we have closed the channel ourselves: then the host drops the rest."""
    inbox.whole = inbox.whole or not channel.closed


def _on_eof(channel: paramiko.Channel, message: paramiko.Message) -> None:
    """The end that the host tells: the library ends the streams in the same way when the connection dies."""
    if (inbox := _inbox(channel)) is not None:
        _has_ended(channel, inbox)
    _Channel._handle_eof(channel, message)


def _on_close(channel: paramiko.Channel, message: paramiko.Message) -> None:
    if (inbox := _inbox(channel)) is not None:
        _has_ended(channel, inbox)
        inbox.closed = True
    _Channel._handle_close(channel, message)


Wire._channel_handler_table = {
    **_Transport._channel_handler_table,
    common.MSG_CHANNEL_REQUEST: _on_request,
    common.MSG_CHANNEL_WINDOW_ADJUST: _on_window,
    common.MSG_CHANNEL_FAILURE: _on_refusal,
    common.MSG_CHANNEL_EOF: _on_eof,
    common.MSG_CHANNEL_CLOSE: _on_close,
}
