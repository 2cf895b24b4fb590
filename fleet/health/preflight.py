"""The preflight of one host: everything that would spoil a run there and can be seen beforehand, with one exec.

The parts are Host, Survival and GPU (spec of `fleet doctor`). Reach, Environment and Group are checked where
connections, environments and multi-node runs are made.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

from fleet.health.check import Check
from fleet.health.gpuinfo import broke_off
from fleet.health.gpus import FEW, MORE
from fleet.health.host import read_host
from fleet.health.preflight_gpu import Wanted, gpu_checks
from fleet.health.preflight_host import as_check, host_checks, survival_checks
from fleet.health.rules import LIMITS, Limits, clock_findings
from fleet.health.scripts import SMI_SECONDS, probe_script
from fleet.health.sections import parse
from fleet.health.timing import Timing, timing
from fleet.ssh import Deadline, Transport


def preflight(
    transport: Transport,
    deploy_dir: str,
    *,
    quick: bool,
    deadline: Deadline,
    python: str = "python3",
    gpus: Sequence[int] | None = None,
    known_gpus: Sequence[str] = (),
    allow_busy: bool = False,
    limits: Limits = LIMITS,
    smi_seconds: int = SMI_SECONDS,
) -> tuple[Check, ...]:
    """Check a host; `quick` is what every start does, without the parts that take seconds or only advise.

    `gpus` are the devices to be used (None: all; trouble with others only warns), `known_gpus` the UUIDs of the last
    good inventory; `allow_busy` accepts processes of others on them. `python` is the interpreter that the agent is
    started with. Raises what the transport raises, and RemoteFailed if the answer broke off.
    """
    cmd = probe_script(
        "probe-doctor.sh", deploy_dir, smi_seconds, ",".join(MORE), ",".join(FEW), python, "yes" if quick else "no"
    )
    sent, begun = time.time(), time.monotonic()
    result = transport.exec(cmd, deadline=deadline)
    taken = time.monotonic() - begun
    answer = parse(result.out)
    if not answer.complete:
        raise broke_off(transport.name, result)
    host = read_host(answer)
    return (
        *host_checks(transport.name, answer, host, limits, quick=quick),
        *_clock(transport.name, timing(answer, host, sent, taken), limits),
        *survival_checks(transport.name, answer, quick=quick),
        *gpu_checks(transport.name, answer, host, Wanted(gpus, tuple(known_gpus), allow_busy), limits),
    )


def _clock(name: str, measured: Timing, limits: Limits) -> Iterator[Check]:
    if measured.offset is None:
        return
    found = tuple(clock_findings(measured.offset, measured.uncertainty, limits))
    yield from (as_check(name, finding) for finding in found)
    if not found:
        yield Check("host.clock", name, "ok", f"its clock differs from ours by {abs(measured.offset):.1f} s")
