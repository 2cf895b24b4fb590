"""Turns a refusal of the agent into the error type that it names."""

from __future__ import annotations

from typing import Any, Final

from fleet.errors import Blocked, Busy, FleetError, NotFound, RemoteFailed, StopIncomplete, Unverified, Usage

_KINDS: Final[dict[str, type[FleetError]]] = {
    kind.kind: kind for kind in (Usage, Busy, RemoteFailed, NotFound, Unverified, Blocked, StopIncomplete)
}


def refusal(host: str, parts: dict[str, Any], *, busy: bool = False) -> FleetError:
    """The error for `{"kind", "what", "why", "fix", "example"?}` in the agent's words; other kinds are RemoteFailed."""
    kind = _KINDS.get(str(parts.get("kind", "busy" if busy else "remote")), RemoteFailed)
    return kind(
        f"{host}: {parts.get('what', 'refused')}",
        why=str(parts.get("why") or "the host refused"),
        fix=str(parts.get("fix") or "look at the host"),
        example=str(parts.get("example") or f"fleet status {host}"),
        host=host,
    )
