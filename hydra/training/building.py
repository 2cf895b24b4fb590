"""What a run is made of before its loop: machine, data, model, optimizer, stored state, layout - in that order."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import torch

from hydra import optim
from hydra.data import Dataset, prepare
from hydra.errors import DataError, DeviceMemoryError
from hydra.manifest import experiment_hash
from hydra.model import LanguageModel, build
from hydra.platform import capabilities, environment
from hydra.runs import write_json
from hydra.training.checkpoint import Checkpoints, CheckpointStore
from hydra.training.description import first_record, write_record
from hydra.training.identity import Identity
from hydra.training.journal import Journal
from hydra.training.parallel import Layout, named_parameters
from hydra.training.resolve import Resolved, apply, resolve
from hydra.training.restoring import restore
from hydra.training.session import Session
from hydra.training.state import TrainState
from hydra.training.stream import Stream
from hydra.training.world import World


@dataclass
class Built:
    """The parts that a loop is put together from."""

    settled: Resolved
    device: torch.device
    environment: dict[str, Any]
    dataset: Dataset
    state: TrainState
    layout: Layout
    store: CheckpointStore | None
    """Writes checkpoints; rank 0 only."""

    @property
    def model(self) -> LanguageModel:
        """The model itself, without the data-parallel wrapper; its blocks are as the layout made them."""
        return self.layout.model


def settled_for(session: Session, identity: Identity) -> Resolved:
    """The decisions of this run: thread count and all as in the attempt before where that was exact, else made now."""
    decided = resolve(session.manifest, identity)
    before = (session.stored or {}).get("resolved")
    if before is not None and before["determinism"] == "exact" and before["device"] == decided.device:
        return Resolved.of({**decided.record(), "threads": before["threads"]})
    return decided


def build_run(
    session: Session, identity: Identity, world: World, journal: Journal, opened: contextlib.ExitStack
) -> Built:
    """Build everything up to the first step; what must be closed, however the run ends, goes into `opened`.

    Raises the errors of data, manifest, checkpoint and device memory.
    """
    manifest, run = session.manifest, session.run
    settled = settled_for(session, identity)
    device = apply(settled, manifest, identity)
    # Nothing in training draws from torch's own generators; they are seeded and saved so that what a user adds does.
    torch.manual_seed(manifest.seed)
    facts = environment(capabilities(device))
    if world.leads:
        write_json(run.environment, facts)
        write_record(session, {**(session.stored or {}), **first_record(session, facts)})
    dataset = shared_dataset(session, world)
    model = on_device(session, settled, device, dataset)
    # Optimizers before the layout: its wrappers rename parameters, and rules and checkpoints use the model's own names.
    named = named_parameters(model)
    state = TrainState(named, optim.build(manifest.optimizer, named), manifest.seed)
    if manifest.comparison is not None:
        state.stream = Stream(None)
    store = opened.enter_context(_writing_store(session, world)) if world.leads else None
    restore(session, state, store or Checkpoints(run.checkpoints), journal, world)
    return Built(settled, device, facts, dataset, state, Layout(model, manifest, settled, world), store)


def _writing_store(session: Session, world: World) -> CheckpointStore:
    return CheckpointStore(
        session.run.checkpoints,
        run=session.run.id,
        attempt=session.attempt,
        configuration=experiment_hash(session.manifest),
        keep=session.manifest.checkpoint,
        world_size=world.size,
    )


def shared_dataset(session: Session, world: World) -> Dataset:
    """The run's data, the same on every rank and the same as in the attempt before. Raises DataError otherwise."""
    # All ranks ask at once: one builds under the artifacts' lock, the others wait there and not in a collective.
    dataset = prepare(session.manifest)
    leading = world.share(dataset.fingerprint)
    if dataset.fingerprint != leading:
        raise DataError(
            f"rank {world.rank} sees other data than rank 0: {dataset.fingerprint[:16]} instead of {leading[:16]}",
            why="ranks would train on different texts in one step",
            fix="give every host the same files and the same Python version",
            example="data: {corpus: {kind: text, files: [/shared/corpus/*.txt]}}",
        )
    before = ((session.stored or {}).get("data") or {}).get("fingerprint")
    if before is not None and before != dataset.fingerprint and "data" not in _changed_sections(session):
        raise DataError(
            f"the data of run {session.run.id} changed: fingerprint {dataset.fingerprint[:16]}, was {before[:16]}",
            why="a resumed run would see other samples than the ones it has not seen yet",
            fix="restore the files (for the stdlib corpus: the same Python version), or start a new run",
            example="python trainer.py",
        )
    return dataset


def _changed_sections(session: Session) -> set[str]:
    return {path.split(".")[0] for path in session.changed}


def on_device(session: Session, settled: Resolved, device: torch.device, dataset: Dataset) -> LanguageModel:
    """The model with its seeded initial weights. Raises DeviceMemoryError when they do not fit."""
    try:
        return build(
            session.manifest.model,
            dataset.vocabulary,
            seed=session.manifest.seed,
            device=device,
            compute=settled.dtype,
            deterministic=settled.exact,
            masked=session.manifest.data.document_masks,
            pins=session.manifest.kernels.pin,
        )
    except torch.OutOfMemoryError as error:
        raise DeviceMemoryError(
            f"the model's weights do not fit {device}: {error}",
            why="weights are kept in fp32, 4 bytes each",
            fix="choose a smaller model or a device with more memory",
            example="--set model={preset: 124m}",
        ) from error
