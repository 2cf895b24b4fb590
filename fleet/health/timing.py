"""What the time of one question and its answer tells: the round trip, and how far two clocks are apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from fleet.health.host import Host
from fleet.health.sections import Answer
from fleet.health.values import decimal

#: Seconds of work on the host from which it is taken off the round trip; its clock for this ticks every 10 ms.
_NOTICEABLE: Final = 0.02


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds."""

    rtt: float
    """What the way there and back took, without the host's own work."""
    offset: float | None
    """How far the host's clock is ahead of ours."""
    uncertainty: float
    """Half the round trip: where in it the host looked at its clock is not known."""


def timing(answer: Answer, host: Host, sent: float, taken: float) -> Timing:
    """From an answer that was asked for at `sent`, Unix seconds, and came `taken` seconds later.

    The host looks at its clock first, so that happened half a round trip after the question was sent.
    """
    ended = decimal(answer.find("end").word(0))
    work = 0.0 if ended is None or host.uptime is None else min(max(0.0, ended - host.uptime), taken)
    rtt = taken - work if work >= _NOTICEABLE else taken
    offset = None if host.now is None else host.now - (sent + rtt / 2)
    return Timing(rtt, offset, rtt / 2)
