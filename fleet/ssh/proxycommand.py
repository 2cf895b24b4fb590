"""A local command whose stdin and stdout lead to a host: OpenSSH's ProxyCommand."""

from __future__ import annotations

import socket
import threading
import time
from collections import deque

from fleet.ssh.endpoint import Watchdog
from fleet.ssh.link import SocketLink


class ProxyCommand:
    """One running command. Its stderr is drained, or a talkative one would stop."""

    def __init__(self, line: str) -> None:
        import subprocess

        ours, theirs = socket.socketpair()
        with theirs:
            end = theirs.fileno()
            # The user's own line, from the user's own configuration: OpenSSH hands it to a shell in the same way.
            command = ["/bin/sh", "-c", f"exec {line}"]
            self._process = subprocess.Popen(command, stdin=end, stdout=end, stderr=subprocess.PIPE)
        self._socket = ours
        self._last: deque[bytes] = deque(maxlen=5)
        self._reader = threading.Thread(target=self._drain, name="proxy command", daemon=True)
        self._reader.start()

    def link(self, watchdog: Watchdog) -> SocketLink:
        """The connection through the command; closing it ends the command."""
        return SocketLink(self._socket, watchdog, on_close=self.end)

    def said(self) -> str:
        """The last lines of its stderr, which tell why it failed."""
        self._reader.join(0.2)
        return b" ".join(self._last).decode(errors="replace").strip()

    def end(self) -> None:
        """End the command; without input most have ended already. One that does not is killed after a second."""
        self._process.terminate()
        until = time.monotonic() + 1
        while self._process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)
        self._process.kill()
        self._process.wait()
        self._reader.join(1)

    def _drain(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stderr:
            for line in stderr:
                self._last.append(line.strip())
