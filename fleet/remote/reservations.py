"""Reservations of devices: abstract Unix sockets, which need no file and which the kernel frees at death.

One name per device, for all users and projects of the machine (of one network namespace). Who is bound to it has the
device, and answers every connection with its run id. A run without devices reserves the processor for its deploy_dir.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import socket
import time

from fleet.remote.fields import RUN_ID
from fleet.remote.identity import machine_id
from fleet.remote.launch import Launch
from fleet.remote.places import DeployDir

#: Seconds to wait for a holder's name. Its supervisor answers at its next look, at most 0.2 s later.
PATIENCE = 2.0
#: Seconds for which a refused connection may mean a holder that has bound the name and does not listen yet.
_BIND_TO_LISTEN = 0.2
_PAUSE = 0.01
_ANSWER_BYTES = 128
_BACKLOG = 64


class Reserved(Exception):
    """Somebody else has one of the names. `holder` is its run id, or None if it did not say."""

    def __init__(self, name: str, holder: str | None) -> None:
        super().__init__(f"{name} is reserved by {holder or 'a process that did not say which run it belongs to'}")
        self.name, self.holder = name, holder


class Reservation:
    """Names that this process holds, all of them, until `close` or its death."""

    def __init__(self, run: str, sockets: list[socket.socket]) -> None:
        self._answer = f"{run}\n".encode("ascii")
        self.sockets = sockets

    @classmethod
    def take(cls, names: list[str], run: str) -> Reservation:
        """Bind all names, in sorted order so that two who want the same never hold one each for long, without waiting.

        Raises Reserved, with nothing held, naming the first that somebody else has.
        """
        sockets: list[socket.socket] = []
        try:
            for name in sorted(names):
                sockets.append(_bound(name))
        except BaseException:
            for held in sockets:
                held.close()
            raise
        return cls(run, sockets)

    def answer(self, listener: socket.socket) -> None:
        """Tell everybody who waits at one of the sockets which run has it."""
        while True:
            try:
                connection, _ = listener.accept()
            except BlockingIOError:
                return
            with connection, contextlib.suppress(OSError):
                connection.setblocking(False)
                connection.send(self._answer)

    def close(self) -> None:
        """Free all names."""
        while self.sockets:
            self.sockets.pop().close()


def names_of(launch: Launch, home: DeployDir) -> list[str]:
    """What a launch must reserve: each of its devices, or the processor for its deploy_dir; and its name there."""
    place = f"{machine_id()}/{home.digest}"
    name = f"fleet/name/{place}/{hashlib.sha256(launch.name.encode('utf-8', 'surrogatepass')).hexdigest()[:16]}"
    if launch.gpus:
        return [*(f"fleet/gpu/{gpu.uuid}" for gpu in launch.gpus), name]
    return [f"fleet/cpu/{place}", name]


def holder_of(name: str) -> str | None:
    """The run that holds a name, by its own word; None if nobody does or it does not say in time."""
    deadline = time.monotonic() + _BIND_TO_LISTEN
    while True:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
            asking.settimeout(PATIENCE)
            try:
                asking.connect("\0" + name)
                # Any user of the machine may have bound the name, so the answer may be anything.
                text = asking.recv(_ANSWER_BYTES).decode("ascii", "replace").rstrip("\n")
                return text if RUN_ID.fullmatch(text) else None
            except ConnectionRefusedError:
                if time.monotonic() >= deadline:
                    return None
            except OSError:
                return None
        time.sleep(_PAUSE)


def _bound(name: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind("\0" + name)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Reserved(name, holder_of(name)) from None
        raise
    return listener
