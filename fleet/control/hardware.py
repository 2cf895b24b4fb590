"""What hardware hosts have."""

from __future__ import annotations

from collections.abc import Sequence

from fleet.control.report import Report
from fleet.control.session import Session
from fleet.control.status import remember_gpus
from fleet.health import GpuInventory, gpu_inventory

#: Seconds for one host, a hung nvidia-smi included.
_LIMIT = 60.0


def gpu_inventories(session: Session, names: Sequence[str], *, full: bool = False) -> Report[GpuInventory]:
    """Driver, GPUs, processor, memory and disk of hosts; `full` adds what their tools said."""
    report = session.each(
        names,
        lambda name, deadline: gpu_inventory(
            session.transport(name, deadline), session.instance(name).deploy_dir, deadline=deadline, full=full
        ),
        _LIMIT,
        repeat=True,
    )
    # Somebody looks at the hardware on purpose: what is there now is what should be there from now on.
    remember_gpus(session, {name: [gpu.uuid for gpu in row.gpus] for name, row in report.rows.items()})
    return report
