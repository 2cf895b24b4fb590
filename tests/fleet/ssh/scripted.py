"""A server in this process that answers each command as a script says, to the message: what real ones do rarely."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from fleet.ssh import Endpoint
from fleet.ssh.wire import common, paramiko
from tests.farm.keys import make_key

#: Plays one command's end of the channel; the connection is cut when it has returned, with no word about it.
Play = Callable[["Stage"], None]


class Stage:
    """The server's end of one command."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._channel: Any = channel

    def status(self, number: int) -> None:
        """The process has ended."""
        self._channel.send_exit_status(number)

    def signal(self, name: str) -> None:
        """The process died of a signal."""
        message = self._message(common.cMSG_CHANNEL_REQUEST)
        message.add_string("exit-signal")
        message.add_boolean(False)
        message.add_string(name)
        message.add_boolean(False)
        message.add_string("")
        message.add_string("")
        self._send(message)

    def out(self, data: bytes) -> None:
        """Some output."""
        self._channel.sendall(data)

    def eof(self) -> None:
        """No more output comes."""
        self._send(self._message(common.cMSG_CHANNEL_EOF))

    def close(self) -> None:
        """The channel ends."""
        self._send(self._message(common.cMSG_CHANNEL_CLOSE))

    def gone(self) -> None:
        """Wait until the client has closed the channel."""
        self._channel.status_event.wait(20)

    def _message(self, kind: bytes) -> paramiko.Message:
        message = paramiko.Message()
        message.add_byte(kind)
        message.add_int(self._channel.remote_chanid)
        return message

    def _send(self, message: paramiko.Message) -> None:
        self._channel.transport._send_user_message(message)


class _Open(paramiko.ServerInterface):
    """Lets everybody in, and says which channel has been asked for a command."""

    def __init__(self) -> None:
        self.asked: queue.SimpleQueue[paramiko.Channel | None] = queue.SimpleQueue()

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED

    def check_channel_exec_request(self, channel: paramiko.Channel, command: bytes) -> bool:
        self.asked.put(channel)
        return True


class Scripted:
    """Listens until closed. Each connection takes one command, which the next play answers."""

    def __init__(self, folder: Path, *plays: Play) -> None:
        self._key, user = make_key(folder / "scripted_host"), make_key(folder / "scripted_user")
        (folder / "scripted_config").write_text("IdentityAgent none\n")
        self._plays = iter(plays)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint = Endpoint(
            "box",
            "127.0.0.1",
            self._listener.getsockname()[1],
            "ada",
            user.path,
            host_key=self._key.fingerprint,
            ssh_config=folder / "scripted_config",
        )
        self.connections = 0
        """How many were accepted."""
        self._thread = threading.Thread(target=self._serve, name="scripted server")
        self._thread.start()

    def close(self) -> None:
        """End it, with the thread."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(20)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection = self._listener.accept()[0]
                self.connections += 1
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        interface, transport = _Open(), paramiko.Transport(connection)
        transport.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(self._key.path)))
        transport.start_server(threading.Event(), interface)
        channel = interface.asked.get(timeout=20)
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            next(self._plays)(Stage(channel))
        # Everything has been handed to the kernel, which delivers it before the end.
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        transport.close()


@contextlib.contextmanager
def scripted(folder: Path, *plays: Play) -> Iterator[Scripted]:
    """A server for as long as this is open."""
    server = Scripted(folder, *plays)
    try:
        yield server
    finally:
        server.close()
