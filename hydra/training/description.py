"""What a run writes down about itself before it trains: its manifest with origins, its environment, its paths.

What will run is written down before it runs, so a later reader can compare it with what ran.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import yaml

from hydra.data import Dataset
from hydra.manifest import experiment_hash, manifest_hash
from hydra.manifest.identity import resolved
from hydra.model import accounting
from hydra.runs import write_manifest, write_text
from hydra.training.parallel import accumulation
from hydra.training.resolve import Resolved
from hydra.training.session import Session
from hydra.training.world import World

RECORD_VERSION = 1


def first_record(session: Session, environment: dict[str, Any]) -> dict[str, Any]:
    """What is known before data and model are: enough to resume a run that dies while it prepares."""
    manifest = session.manifest
    return {
        "schema": RECORD_VERSION,
        "run": session.run.id,
        "attempt": session.attempt,
        "name": manifest.name,
        "manifest_hash": manifest_hash(manifest),
        "experiment_hash": experiment_hash(manifest),
        "overrides": list(session.overrides),
        "seeds": list(manifest.seeds),
        "code": environment.get("code"),
        "manifest": resolved(manifest),
        "origins": session.origins,
    }


def full_record(
    session: Session,
    environment: dict[str, Any],
    settled: Resolved,
    dataset: Dataset,
    world: World,
    optimizers: list[dict[str, Any]],
) -> dict[str, Any]:
    """The whole description, written when everything is built."""
    manifest = session.manifest
    inferred = session.origins.get("training.micro_batch", "").startswith("inferred")
    micro_batches = accumulation(manifest, world.size, inferred=inferred)
    counts = accounting.parameters(manifest.model, dataset.vocabulary)
    flops = accounting.flops_per_token(manifest.model, dataset.vocabulary, manifest.data.sequence)
    return {
        **first_record(session, environment),
        "resolved": settled.record(),
        "data": {"fingerprint": dataset.fingerprint, "summary": dataset.summary()},
        "tokenizer": {
            "digest": dataset.tokenizer.digest,
            "size": dataset.tokenizer.size,
            "vocabulary": dataset.vocabulary,
        },
        "layout": {
            "world_size": world.size,
            "accumulation": micro_batches,
            "micro_batch": manifest.training.batch // (world.size * micro_batches),
        },
        "parameters": asdict(counts) | {"total": counts.total, "matmul": counts.matmul},
        "flops_per_token": {"full": flops.full, "causal": flops.causal},
        "optimizer": optimizers,
    }


def write_record(session: Session, record: dict[str, Any]) -> None:
    """manifest.yaml of this attempt; the one of the attempt before is kept."""
    text = yaml.safe_dump(record, sort_keys=False, allow_unicode=True, width=120)
    write_manifest(session.run, text, attempt=session.attempt)
    if session.source:
        changes = "".join(f"# --set {override}\n" for override in session.overrides)
        write_text(session.run.manifest_source, changes + session.source)
