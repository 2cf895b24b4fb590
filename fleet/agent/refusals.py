"""Turns a refusal into an error: the agent's own, and that of a login that runs no commands."""

from __future__ import annotations

from typing import Any, Final

from fleet.errors import Blocked, Busy, FleetError, NotFound, RemoteFailed, StopIncomplete, Unverified, Usage
from fleet.ssh import Result

#: The host's name in the agent's examples.
STAND_IN: Final = "lab-a"
#: Characters of an output that are shown.
_SHOWN: Final = 200
_KINDS: Final[dict[str, type[FleetError]]] = {
    kind.kind: kind for kind in (Usage, Busy, RemoteFailed, NotFound, Unverified, Blocked, StopIncomplete)
}


def refusal(host: str, parts: dict[str, Any], *, busy: bool = False) -> FleetError:
    """The error for `{"kind", "what", "why", "fix", "example"?}` in the agent's words; other kinds are RemoteFailed."""
    kind = _KINDS.get(str(parts.get("kind", "busy" if busy else "remote")), RemoteFailed)
    # A host does not know what it is called here, so its examples speak of one that stands for all.
    example = str(parts.get("example") or f"fleet status {host}").replace(STAND_IN, host)
    return kind(
        f"{host}: {parts.get('what', 'refused')}",
        why=str(parts.get("why") or "the host refused"),
        fix=str(parts.get("fix") or "look at the host"),
        example=example,
        host=host,
    )


def refused_commands(host: str, result: Result) -> RemoteFailed:
    """The error for a login that was let in and did not run what it was told: our script was never heard."""
    return RemoteFailed(
        f"{host} did not run the command of fleet: exit status {result.rc}, stdout {_shown(result.out)}, "
        f"stderr {_shown(result.err)}",
        why="the login works, but its shell refuses commands (nologin, false, a restricted shell), its key or the "
        "server forces another command, or there is no working sh",
        fix="look there at the account's shell (getent passwd), at command= before the key in ~/.ssh/authorized_keys, "
        "and at ForceCommand in sshd_config",
        example=f"fleet ssh {host} -- echo hello",
        host=host,
    )


def _shown(output: bytes) -> str:
    """The end of an output in quotes, on one line and without control characters."""
    text = output.decode("utf-8", "backslashreplace").strip()
    if not text:
        return "empty"
    return repr(text if len(text) <= _SHOWN else "..." + text[-_SHOWN:])
