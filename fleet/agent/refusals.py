"""Turns a refusal of the agent into the error type that it names."""

from __future__ import annotations

from typing import Any, Final

from fleet.errors import Blocked, Busy, FleetError, NotFound, RemoteFailed, StopIncomplete, Unverified, Usage

#: The host's name in the agent's examples.
STAND_IN: Final = "lab-a"
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
