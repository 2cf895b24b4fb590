"""One OpenSSH server: its configuration, its life, and the sessions that belong to it."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.farm.hosts import FarmHost
from tests.farm.keys import Key
from tests.farm.processes import Process, descendants, end_all

#: Where programs are on a host, unless a test says otherwise.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: sshd changes to the account's own home, whatever HOME says; this brings commands to the host's. Bash reads it as
#: $BASH_ENV or, as Debian builds it, as ~/.bashrc; zsh as $ZDOTDIR/.zshenv. Other login shells stay where sshd goes.
GO_HOME = 'unset BASH_ENV ZDOTDIR\ncd "$HOME" || exit 1\n'


@functools.cache
def find_sshd() -> str:
    """The absolute path of sshd, which it insists on being called by."""
    found = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/sbin")
    if found is None:
        raise FileNotFoundError("no sshd on this machine (Debian and Ubuntu: apt-get install openssh-server)")
    return found


@functools.cache
def version() -> tuple[int, int]:
    """Major and minor version of sshd."""
    shown = subprocess.run([find_sshd(), "-V"], capture_output=True, text=True)
    found = re.search(r"OpenSSH_(\d+)\.(\d+)", shown.stderr + shown.stdout)
    assert found, f"sshd -V says {shown}"
    return int(found[1]), int(found[2])


def configuration(host: FarmHost, folder: Path, key: Key, env: Mapping[str, str], extra: Sequence[str]) -> str:
    """The text of sshd's configuration. sshd takes the first value of a keyword, so `extra` lines stand first."""
    variables = {"HOME": str(host.home), "FLEET_HOST": host.name, "PATH": SYSTEM_PATH, **env}
    variables |= {"BASH_ENV": str(folder / "shell" / ".zshenv"), "ZDOTDIR": str(folder / "shell")}
    for name, value in variables.items():
        assert not set(value) & set('"\\\n'), f"sshd cannot take {name}={value!r}"
    # Newer servers lock out an address after failed logins, and every test comes from the same one.
    penalties = ["PerSourcePenalties no"] if version() >= (9, 8) else []
    lines = [
        *extra,
        f"ListenAddress {host.address}:{host.port}",
        f"HostKey {key.path}",
        f"PidFile {folder / 'sshd.pid'}",
        f"AuthorizedKeysFile {host.home / '.ssh' / 'authorized_keys'}",
        *("PasswordAuthentication no", "KbdInteractiveAuthentication no", "PermitRootLogin prohibit-password"),
        *("StrictModes no", "UsePAM no", "UseDNS no", "PrintMotd no", "PrintLastLog no", "LogLevel VERBOSE"),
        *("MaxStartups 100:30:200", f"Subsystem sftp internal-sftp -d {host.home}"),
        *penalties,
        "SetEnv " + " ".join(f'"{name}={value}"' for name, value in variables.items()),
    ]
    return "\n".join(lines) + "\n"


class Server:
    """sshd for one host. Everything it needs lies in `folder`."""

    def __init__(self, folder: Path, prefix: Sequence[str] = ()) -> None:
        self._folder, self._prefix = folder, tuple(prefix)
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, host: FarmHost, key: Key, env: Mapping[str, str], extra: Sequence[str]) -> None:
        """Write the configuration; it counts from the next start."""
        shell = self._folder / "shell"
        shell.mkdir(parents=True, exist_ok=True)
        for place in (shell / ".zshenv", host.home / ".bashrc"):
            place.write_text(GO_HOME)
        (self._folder / "sshd_config").write_text(configuration(host, self._folder, key, env, extra))

    def start(self) -> None:
        """Start the server without waiting for it."""
        assert self._process is None, "already started"
        (self._folder / "sshd.pid").unlink(missing_ok=True)
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, parents=True, exist_ok=True)
        # Should the tests be killed, the kernel ends the server.
        command = [*self._prefix, "setpriv", "--pdeathsig", "TERM", find_sshd(), "-D", "-e", "-f"]
        with (self._folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, str(self._folder / "sshd_config")],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={"PATH": SYSTEM_PATH},
                start_new_session=True,
            )

    def wait_ready(self, deadline: float) -> None:
        """Until it listens: sshd writes its pid file after that. `deadline` is on the monotonic clock."""
        assert self._process is not None
        marker = self._folder / "sshd.pid"
        while not (marker.exists() and marker.read_bytes()):
            if self._process.poll() is not None:
                raise RuntimeError(f"sshd ended: {(self._folder / 'sshd.log').read_text()}")
            if time.monotonic() > deadline:
                raise TimeoutError(f"sshd does not listen: {(self._folder / 'sshd.log').read_text()}")
            time.sleep(0.002)

    def sessions(self) -> list[Process]:
        """The server's processes for its connections, without the commands that run in them."""
        return [one for one in self._below() if _is_sshd(one)]

    def stop(self, *, commands: bool = False) -> None:
        """End the server and its connections; with `commands`, also what runs in them.

        Without it the commands see their connection end, as on a host whose sshd is killed.
        """
        if self._process is None:
            return
        # Stopped, it accepts no connection between the listing and its end.
        self._process.send_signal(signal.SIGSTOP)
        below = self._below()
        self._process.kill()
        self._process.wait()
        self._process = None
        end_all(one for one in below if commands or _is_sshd(one))

    def _below(self) -> list[Process]:
        return [] if self._process is None else descendants(self._process.pid)


def _is_sshd(process: Process) -> bool:
    """Whether it is sshd itself rather than a command: its title starts with that, whatever part of it it is."""
    argv = process.argv()
    return bool(argv) and Path(argv[0].split(":")[0]).name.split()[0].startswith("sshd")
