"""The number format of a device without a profile: what nvidia-smi says of it reaches the trainer's arguments."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleet.control.planning import TrainOptions, plan
from fleet.control.session import Session
from fleet.health import probe
from fleet.ssh import Deadline
from tests.farm.fakes import gpus, nvidia_smi
from tests.farm.local import LocalTransport
from tests.fleet.cli.program import MANIFEST

FLEET = '{"version": 1, "project": "p", "instances": {"a": {"host": "192.0.2.1", "user": "u"}}}'


@pytest.mark.parametrize(("capability", "said"), [("8.0", "bf16"), ("12.0", "bf16"), ("7.5", "fp32"), ("[N/A]", None)])
def test_the_capability_decides(tmp_path: Path, capability: str, said: str | None) -> None:
    for folder in ("manifests", "home", "tools"):
        (tmp_path / folder).mkdir()
    (tmp_path / "fleet.json").write_text(FLEET)
    (tmp_path / "manifests" / "default.yaml").write_text(MANIFEST)
    nvidia_smi(tmp_path / "tools", gpus(2, model="NVIDIA Something New", compute_cap=capability))
    host = LocalTransport(tmp_path / "home", path=f"{tmp_path / 'tools'}:/usr/bin:/bin")
    report = probe(host, "~/fleet/p", deadline=Deadline.after(30))
    with Session.open(tmp_path / "fleet.json") as session:
        planned = plan(session, "a", TrainOptions(), report)
    found = {setting.name: (setting.value, setting.origin) for setting in planned.settings}
    # Where nothing is known the manifest's own `auto` stands: the trainer sees the device.
    assert found.get("precision.compute") == (None if said is None else (said, "profile generic"))
    assert (f"precision.compute={said}" in planned.argv) == (said is not None)
