"""How fast bytes go to a host and come back: the rate of this very connection, measured for a few seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from fleet.health.values import rounded
from fleet.ssh import Cmd, Deadline, Transport

_MIB: Final = 1 << 20
#: Small enough for a slow line to send a few of them in the time that a measurement takes.
_BLOCK: Final = bytes(_MIB // 4)
#: Most that is sent each way, MiB; a slow link ends earlier, by time.
MOST_MIB: Final = 64


@dataclass(frozen=True, slots=True)
class Rates:
    """Mebibytes per second in each direction."""

    up: float
    down: float

    def to_json(self) -> dict[str, Any]:
        """The rates for programs."""
        return {"up_mib_s": rounded(self.up, 2), "down_mib_s": rounded(self.down, 2)}


def transfer_rate(transport: Transport, *, deadline: Deadline, seconds: float = 2.0, most_mib: int = MOST_MIB) -> Rates:
    """Send zeros for about so many seconds, then receive some. Raises what the transport raises."""
    return Rates(_up(transport, deadline, seconds, most_mib), _down(transport, deadline, seconds, most_mib))


def _up(transport: Transport, deadline: Deadline, seconds: float, most_mib: int) -> float:
    sent = 0
    begun = time.perf_counter()

    def blocks() -> Iterator[bytes]:
        nonlocal sent
        while sent < most_mib * _MIB and time.perf_counter() - begun < seconds:
            sent += len(_BLOCK)
            yield _BLOCK

    # The command ends only when it has read the last byte, so the time includes what was still on its way.
    transport.stream_in(Cmd(("sh", "-c", "exec cat >/dev/null")), blocks(), deadline=deadline)
    return sent / _MIB / (time.perf_counter() - begun)


def _down(transport: Transport, deadline: Deadline, seconds: float, most_mib: int) -> float:
    received = 0
    begun = time.perf_counter()
    with transport.stream_out(Cmd(("head", "-c", str(most_mib * _MIB), "/dev/zero")), deadline=deadline) as output:
        for piece in output:
            received += len(piece)
            if time.perf_counter() - begun >= seconds:
                break
        taken = time.perf_counter() - begun
    return received / _MIB / taken
