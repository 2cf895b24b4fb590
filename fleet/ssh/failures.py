"""Why a host cannot be talked to, as errors."""

from __future__ import annotations

from fleet.errors import Unreachable
from fleet.ssh.endpoint import Endpoint


class NoSharedAlgorithm(Unreachable):
    """The host offers no algorithm that we could use."""


class ConnectionLost(Unreachable):
    """A connection that was there is gone. What ran over it may have gone on, or not."""


class NeverBegun(ConnectionLost):
    """The connection was gone before anything was asked of the host on it: beginning anew is safe."""


def silence(seconds: float) -> str:
    """What is said of a peer that owes an answer: for so many seconds, of which hundredths are of no interest."""
    return f"no answer for {seconds:.2g} s"


def unreachable(endpoint: Endpoint, what: str, why: str, fix: str | None = None) -> Unreachable:
    """The error for a host that does not answer as an SSH server should."""
    return Unreachable(
        f"{endpoint.name} is unreachable: {what}",
        why=why,
        fix=fix or "see whether the host runs, and whether its address and port in fleet.json are right",
        example=f"fleet ssh {endpoint.name}",
        host=endpoint.name,
    )


def lost(endpoint: Endpoint, reason: str | None, *, begun: bool) -> ConnectionLost:
    """The error for a connection that ended by itself; `reason` if it is known."""
    kind = ConnectionLost if begun else NeverBegun
    return kind(
        f"the connection to {endpoint.name} was lost: {reason or 'the other end closed it'}",
        why="the host or the network between went down, or sshd was stopped",
        fix="try again: fleet connects anew, and what it changes on a host it changes whole or not at all",
        example=f"fleet status {endpoint.name}",
        host=endpoint.name,
    )
