"""`hydra check`."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from hydra import optim
from hydra.cli.options import JsonOption, ManifestArgument, SetOption
from hydra.cli.output import write, write_json, write_table
from hydra.data import vocabulary_of
from hydra.kernels import Facts
from hydra.manifest import Run, experiment_hash, load, manifest_hash
from hydra.model import accounting, assemble
from hydra.optim import Row
from hydra.platform import capabilities
from hydra.report import quantities
from hydra.training.sizes import measured

#: Bytes of a parameter while it is trained: weight, gradient and two moments in fp32.
_BYTES_PER_PARAMETER = 16


def command(manifest: ManifestArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Check a manifest: settings, sizes, optimizer groups.

    Nothing is trained and no corpus is read. The model of every run is built without memory, on any machine: shapes,
    counted parameters and FLOPs, and which optimizer takes which parameters. A comparison is checked for fairness.
    """
    experiment = load(manifest, overrides or (), measure=measured)
    findings = [_finding(run) for run in experiment.runs]
    if as_json:
        write_json([finding.record() for finding in findings])
        return
    for finding in findings:
        finding.tell()


@dataclass(frozen=True)
class _Finding:
    """What the check of one run found; that it exists means that nothing was wrong."""

    run: Run
    vocabulary: int
    parameters: accounting.Parameters
    flops: accounting.Flops
    kinds: dict[str, int]
    groups: list[Row]

    def record(self) -> dict[str, Any]:
        """For programs."""
        manifest = self.run.manifest
        return {
            "name": manifest.name,
            "arm": self.run.arm,
            "manifest_hash": manifest_hash(manifest),
            "experiment_hash": experiment_hash(manifest),
            "vocabulary": self.vocabulary,
            "parameters": asdict(self.parameters) | {"total": self.parameters.total, "matmul": self.parameters.matmul},
            "flops_per_token": asdict(self.flops),
            "blocks": self.kinds,
            "optimizer": [asdict(group) for group in self.groups],
        }

    def tell(self) -> None:
        """For people."""
        manifest, counts = self.run.manifest, self.parameters
        training = manifest.training
        tokens = training.steps * training.batch * manifest.data.sequence
        total = (
            f"{counts.total:,} parameters ({counts.matmul:,} in matrix products, {counts.embedding:,} in the embedding)"
        )
        blocks = ", ".join(f"{count} x {kind}" for kind, count in self.kinds.items())
        write(f"{manifest.name}: valid, manifest {manifest_hash(manifest)[:16]}")
        write(f"  model    {total}")
        write(f"  blocks   {blocks}, width {manifest.model.width}, vocabulary {self.vocabulary}")
        full, causal = (quantities.magnitude(value) for value in (self.flops.full, self.flops.causal))
        write(f"  FLOPs    {full} a token ({causal} with causal attention)")
        write(f"  memory   {quantities.size(counts.total * _BYTES_PER_PARAMETER)} for weights, gradients and moments")
        write(f"  training {training.steps:,} steps of {training.batch} x {manifest.data.sequence} = {tokens:,} tokens")
        rows = [
            (row.pattern, str(row.tensors), f"{row.parameters:,}", row.optimizer, f"{row.lr:g}", f"{row.decay:g}")
            for row in self.groups
        ]
        heads = ("optimizer rule", "tensors", "parameters", "optimizer", "lr", "decay")
        write_table(heads, rows, right=("tensors", "parameters", "lr", "decay"))


def _finding(run: Run) -> _Finding:
    manifest = run.manifest
    vocabulary = vocabulary_of(manifest)
    # Facts of the CPU, where every op has an implementation: what is asked here is shapes, not speed.
    facts = Facts.of(capabilities("cpu"), torch.float32, deterministic=False, masked=True)
    model = assemble(manifest.model, vocabulary, facts, {})
    # Fake tensors have a shape and a device and no memory, so the optimizers of an 8B model are built on a laptop.
    with FakeTensorMode():
        named = [(name, nn.Parameter(torch.empty(value.shape))) for name, value in model.named_parameters()]
        groups = optim.build(manifest.optimizer, named).table()
    kinds = model.kinds()
    return _Finding(
        run,
        vocabulary,
        accounting.parameters(manifest.model, vocabulary),
        accounting.flops_per_token(manifest.model, vocabulary, manifest.data.sequence),
        {kind: kinds.count(kind) for kind in dict.fromkeys(kinds)},
        groups,
    )
