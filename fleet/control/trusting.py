"""Trusting hosts: their keys are shown to a person before anything else is ever said to them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fleet.control.session import Session
from fleet.errors import Usage
from fleet.ssh import route

if TYPE_CHECKING:
    from fleet.ssh.trust import Presented

#: Seconds to fetch one key.
LIMIT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Trusted:
    """A host's key, and what became of it."""

    host: str
    address: str
    kind: str
    fingerprint: str
    outcome: str
    """`known` already, `stored` now, `replaced`, or `shown` only."""


def trust(
    session: Session,
    name: str,
    *,
    agreed: Callable[[Presented], bool],
    fingerprint: str | None = None,
    replace: bool = False,
    store: bool = True,
) -> tuple[Trusted, ...]:
    """Fetch the keys of a host and of the hosts on its way, nearest first, and keep those that `agreed` says yes to.

    No user name and no key of ours is sent. `fingerprint` is what the user knows of this host's key from elsewhere.
    Raises HostKeyRefused for another key than that, a changed one without `replace`, and a revoked or unpinned one;
    Usage when the answer is no.
    """
    # Imported late: paramiko costs more than everything else here.
    from fleet.ssh.trust import store as keep

    found = []
    hops = route(session.endpoints[name])
    for endpoint in hops:
        presented = session.presented(endpoint, session.deadline(LIMIT))
        announced = fingerprint if endpoint is hops[-1] else None
        outcome = "known"
        if presented.verdict != "known":
            outcome = "shown"
            if store:
                # Refusals come before the question: nobody is asked about a key that must not be taken.
                if (presented.verdict == "unknown" or replace) and announced is None and not agreed(presented):
                    raise _declined(name, presented)
                keep(presented, fingerprint=announced, replace=replace)
                outcome = "replaced" if presented.verdict == "changed" else "stored"
        elif announced is not None:
            # The known key is not asked about again, but it has to be the one that was announced.
            keep(presented, fingerprint=announced)
        found.append(Trusted(endpoint.name, presented.name, presented.kind, presented.fingerprint, outcome))
        if outcome == "shown":
            # What lies behind a host that is not trusted cannot be asked.
            break
    if store and any(row.outcome != "known" for row in found):
        words = [f"{row.host} {row.fingerprint} {row.outcome}" for row in found]
        session.record("trust", [name], "; ".join(words))
    return tuple(found)


def _declined(name: str, presented: Presented) -> Usage:
    return Usage(
        f"{presented.fingerprint} of {presented.endpoint.name} was not kept",
        why="the answer was no",
        fix="compare it with what the host's owner announces, or with `ssh-keygen -lf` on the host",
        example=f"fleet trust {name} --fingerprint {presented.fingerprint} --yes",
    )
