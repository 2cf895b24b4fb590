"""A person's own session on a host: OpenSSH's client in place of this process, or a terminal of our own without it.

The latter is the only use of Fabric: importing it costs as much as all of `fleet`, and its `run` puts the values of
variables into the command line unquoted.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, cast

from fleet.ssh.command import Cmd
from fleet.ssh.configuration import find_ssh
from fleet.ssh.deadline import Deadline
from fleet.ssh.endpoint import Endpoint
from fleet.ssh.openssh import ssh_command
from fleet.ssh.pool import Pool
from fleet.ssh.transport import Stream

if TYPE_CHECKING:
    from fleet.ssh.connection import SshTransport

#: Seconds that a command of `fleet ssh` may take without OpenSSH: a day.
_LONG = 86_400.0


def enter(pool: Pool, endpoint: Endpoint, cmd: Cmd | None, deadline: Deadline) -> int:
    """Give the user a shell on the host, or run one command with their own stdin; its status.

    With OpenSSH installed this does not return: the process becomes `ssh`, with strict checking against the files that
    `fleet` trusts. `deadline` is for connecting only. Raises what opening a connection can raise.
    """
    ssh = find_ssh()
    if ssh is not None:
        argv = ssh_command(ssh, endpoint, pool, deadline)
        if cmd is not None:
            argv = [*argv[:-1], *(["-t"] if sys.stdin.isatty() else []), argv[-1], cmd.line()]
        sys.stdout.flush()
        sys.stderr.flush()
        os.execv(ssh, argv)
    return session(pool.to(endpoint), cmd, deadline)


def session(transport: SshTransport, cmd: Cmd | None, deadline: Deadline) -> int:
    """The same without OpenSSH's client. A command gets no terminal then, and no input."""
    wire = transport.open(deadline)
    if cmd is not None:
        return transport.exec(cmd, deadline=Deadline.after(_LONG), sink=_copy).rc
    import fabric
    from invoke.exceptions import UnexpectedExit
    from paramiko import SSHConfig

    endpoint = transport.endpoint
    # What OpenSSH's configuration says of the host has been followed already.
    config = fabric.Config(ssh_config=SSHConfig())
    connection = cast(Any, fabric.Connection)(endpoint.host, user=endpoint.user, port=endpoint.port, config=config)
    # Verified and signed in: Fabric, which would accept any host key, finds itself connected.
    connection.transport = wire
    try:
        result = connection.shell()
    except UnexpectedExit as ended:
        # A shell ends with the status of its last command, which is no failure of ours.
        result = ended.result
    return int(result.exited)


def _copy(stream: Stream, data: bytes) -> None:
    target = sys.stdout if stream == "out" else sys.stderr
    target.buffer.write(data)
    target.flush()
