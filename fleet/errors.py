"""The errors of `fleet`: each has the four parts of a HydraError, a kind for programs, an exit code and often a host.

The exit codes are a contract with scripts (README, "Exit codes of fleet"); a type here stands for one of them.
"""

from __future__ import annotations

from typing import ClassVar, Self

from hydra.errors import HydraError


class FleetError(HydraError):
    """A failure that a user of `fleet` can act on."""

    #: A stable word for programs, in the `errors` of `--json`.
    kind: ClassVar[str] = "bug"

    def __init__(self, what: str, *, why: str, fix: str, example: str, host: str | None = None) -> None:
        super().__init__(what, why=why, fix=fix, example=example)
        self.host = host

    def on(self, host: str) -> Self:
        """The same error, said of a host."""
        self.host = host
        return self


class Usage(FleetError):
    """A command line or `fleet.json` that cannot mean anything."""

    exit_code = 2
    kind = "usage"


class Unreachable(FleetError):
    """No answer: name, TCP, banner, key exchange, or a peer that died in the middle."""

    exit_code = 3
    kind = "unreachable"
    retry = True


class HostKeyRefused(FleetError):
    """The host's key is unknown, changed or revoked; nothing was sent to it."""

    exit_code = 4
    kind = "host-key"


class AuthenticationFailed(FleetError):
    """The host takes none of the keys that were offered."""

    exit_code = 5
    kind = "authentication"


class Busy(FleetError):
    """Somebody else holds what is needed: a lock, a GPU, the run itself."""

    exit_code = 6
    kind = "busy"


class RemoteFailed(FleetError):
    """A command or a run failed on the host."""

    exit_code = 8
    kind = "remote"


class NotFound(FleetError):
    """No such run, release or checkpoint."""

    exit_code = 9
    kind = "not-found"


class Unverified(FleetError):
    """A digest or a checkpoint that does not verify."""

    exit_code = 10
    kind = "unverified"


class Blocked(FleetError):
    """Preflight or health forbids to start."""

    exit_code = 11
    kind = "blocked"


class StopIncomplete(FleetError):
    """A stop without proof of a checkpoint, or with survivors."""

    exit_code = 12
    kind = "stop-incomplete"


class DeadlinePassed(FleetError):
    """The time that was given is over."""

    exit_code = 13
    kind = "deadline"
    retry = True


#: Exit code when some hosts succeeded and some failed; when all failed alike, theirs is used.
PARTLY_FAILED = 7
