"""What each run of a comparison writes down at its start and at its end, so that a program can compare them.

A manifest says what was meant. These records say what was: counted sizes, number formats read back from torch, the
hardware, the status of every op, the code, the samples really seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from hydra.manifest.comparison.differences import shared_hash
from hydra.manifest.comparison.sizes import Size
from hydra.manifest.comparison.violations import Row, Violation
from hydra.manifest.identity import experiment_hash, manifest_hash
from hydra.manifest.root import Manifest
from hydra.manifest.section import Section

Scalar = str | int | float | bool | None
VERIFIED = "verified"


class StartRecord(Section):
    """One run of a comparison as it starts."""

    arm: str
    seed: int
    manifest_hash: str
    experiment_hash: str
    shared_hash: str
    """Of everything that all runs of the comparison have in common."""
    parameters: int
    non_embedding: int
    flops: float
    """FLOPs per trained token."""
    numerics: dict[str, Scalar]
    """Number formats and exactness, read back after they were set (see `expected_numerics`)."""
    hardware: dict[str, Scalar]
    """Device model and count, driver, torch, parallel layout, compile mode: equal for all runs."""
    ops: dict[str, str]
    """Op -> status of the implementation that runs."""
    commit: str
    """The commit that the code is; for installed code its version."""
    dirty: bool
    """Whether the code differs from that commit."""
    reported: dict[str, Scalar]
    """Figures that are shown and not judged, such as cache bytes per token."""

    @property
    def size(self) -> Size:
        """The counted sizes of the run's model."""
        return Size(self.parameters, self.non_embedding, self.flops)


class StepTime(Section):
    """Time per step over the measured part of a run, in milliseconds."""

    median: float
    quartiles: tuple[float, float]
    """The first and the third; their distance is the interquartile range."""
    steps: int
    """Steps measured, warm-up excluded."""


class EndRecord(Section):
    """One run of a comparison as it ended."""

    start: StartRecord
    finished: bool
    """Whether all steps were trained; false for stopped, failed and voided runs."""
    steps: int
    skipped: int
    """Steps whose update was withheld."""
    tokens: int
    """Target tokens really seen."""
    stream: dict[int, str]
    """Step -> digest of all samples and tokens up to it (`StreamDigest`), every 100 steps and at the end."""
    metrics: dict[str, float]
    """Results on the held-out split after the last step, under the names of metrics.jsonl (`eval.bits_per_byte`)."""
    step_time: StepTime | None = None
    memory_bytes: Annotated[int, Field(ge=0)] | None = None
    """Peak memory of the fullest device."""


def start_record(
    manifest: Manifest,
    *,
    size: Size,
    numerics: Mapping[str, Scalar],
    hardware: Mapping[str, Scalar],
    ops: Mapping[str, str],
    commit: str,
    dirty: bool,
    reported: Mapping[str, Scalar] | None = None,
) -> StartRecord:
    """The record of one run of a comparison; its manifest must say which arm it is."""
    assert manifest.comparison is not None and manifest.runs.arm is not None, "only runs of a comparison have one"
    return StartRecord(
        arm=manifest.runs.arm,
        seed=manifest.seed,
        manifest_hash=manifest_hash(manifest),
        experiment_hash=experiment_hash(manifest),
        shared_hash=shared_hash(manifest, manifest.comparison),
        parameters=size.parameters,
        non_embedding=size.non_embedding,
        flops=size.flops,
        numerics=dict(numerics),
        hardware=dict(hardware),
        ops=dict(ops),
        commit=commit,
        dirty=dirty,
        reported=dict(reported or {}),
    )


def expected_numerics(manifest: Manifest) -> dict[str, Scalar]:
    """The number formats that a manifest asks for, under the names that `StartRecord.numerics` uses."""
    return {
        "compute": manifest.precision.compute,
        "tf32": manifest.precision.tf32,
        "determinism": manifest.training.determinism,
        "compile": manifest.training.compile,
    }


def start_violations(manifest: Manifest, record: StartRecord) -> tuple[Violation, ...]:
    """What voids a run of a fair comparison before its first step; empty when the manifest claims none."""
    if manifest.comparison is None or not manifest.comparison.apples_to_apples:
        return ()
    found = []
    wrong = [
        Row(f"numerics.{name}", {"asked": wanted, "read back": record.numerics.get(name)})
        for name, wanted in expected_numerics(manifest).items()
        if record.numerics.get(name) != wanted
    ]
    if wrong:
        found.append(Violation("numerics", "the process does not compute as its manifest says", tuple(wrong)))
    unverified = {op: status for op, status in sorted(record.ops.items()) if status != VERIFIED}
    if unverified:
        listed = ", ".join(f"{op} ({status})" for op, status in unverified.items())
        found.append(Violation("hardware", f"ops are not verified on this device: {listed}"))
    if record.dirty:
        found.append(Violation("code", f"the working tree differs from commit {record.commit}"))
    return tuple(found)
