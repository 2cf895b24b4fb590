"""A trained model from its run directory: manifest, tokenizer and verified weights, ready to be used."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from hydra.cli.output import remark
from hydra.cli.references import record_of
from hydra.data import Tokenizer, load_tokenizer
from hydra.errors import CheckpointError, DataError
from hydra.kernels import Facts
from hydra.manifest import Manifest, from_tree
from hydra.model import LanguageModel, assemble
from hydra.platform import capabilities
from hydra.runs import RunDirectory, last_resume, read_events
from hydra.training.checkpoint import Checkpoints
from hydra.training.identity import Identity
from hydra.training.resolve import Resolved, apply, resolve

_PREFIX = "model."
_ALONE = Identity(rank=0, size=1, local_rank=0, local_size=1, run_directory=None, attempt=None)


class OpenModel(NamedTuple):
    """A model as it was at a step of its run, with what is needed to use it."""

    manifest: Manifest
    tokenizer: Tokenizer
    model: LanguageModel
    step: int


def open_model(run: RunDirectory, step: int | None = None, device: str = "auto") -> OpenModel:
    """Load the weights of one checkpoint, by default the newest that verifies.

    On the kind of device that trained it the model computes as it did there: the same number format, threads and
    exactness, so a score equals the one in the run's metrics. Elsewhere these are decided as for a new run. Raises
    RunError, DataError or CheckpointError for a run that has no manifest, tokenizer or sound checkpoint.
    """
    record = record_of(run)
    manifest = from_tree(record["manifest"], [f"training.device={device}"]).runs[0].manifest
    settled = resolve(manifest, _ALONE)
    stored = record.get("resolved")
    if stored is not None and stored["device"] == settled.device:
        settled = Resolved.of(stored)
    place = apply(settled, manifest, _ALONE)
    tokenizer = _tokenizer(run, (record.get("tokenizer") or {}).get("digest"))
    store = Checkpoints(run.checkpoints)
    chosen = _newest(run, store) if step is None else step
    masked = manifest.data.document_masks
    facts = Facts.of(capabilities(place), settled.dtype, deterministic=settled.exact, masked=masked)
    model = assemble(manifest.model, tokenizer.vocabulary, facts, manifest.kernels.pin)
    load_weights(model, store, chosen, place)
    return OpenModel(manifest, tokenizer, model.eval(), chosen)


def load_weights(model: LanguageModel, store: Checkpoints, step: int, place: torch.device) -> None:
    """Give a model without storage the weights of a checkpoint. Raises CheckpointError unless all fit exactly."""
    found = {
        name.removeprefix(_PREFIX): tensor for name, tensor in store.read_tensors(step, _PREFIX, device=place).items()
    }
    wanted = {name: tuple(parameter.shape) for name, parameter in model.named_parameters()}
    stored = {name: tuple(tensor.shape) for name, tensor in found.items()}
    wrong = [name for name in sorted(wanted.keys() | stored.keys()) if wanted.get(name) != stored.get(name)]
    if wrong:
        told = "; ".join(f"{name}: {stored.get(name)}, the model has {wanted.get(name)}" for name in wrong[:5])
        raise CheckpointError(
            f"the checkpoint of step {step} holds other weights than the model: {told}",
            why="the manifest of the run and its checkpoint do not belong together",
            fix="restore manifest.yaml and the checkpoint from the same copy of the run",
            example="hydra checkpoint verify RUN",
        )
    model.load_state_dict(found, strict=True, assign=True)


def _newest(run: RunDirectory, store: Checkpoints) -> int:
    step, rejected = store.newest_verified(last_resume(read_events(run.events).events))
    for verification in rejected:
        remark(f"checkpoint of step {verification.step} is passed over: {'; '.join(verification.problems)}")
    if step is not None:
        return step
    raise CheckpointError(
        f"run {run.id} has no checkpoint that verifies" if rejected else f"run {run.id} has no checkpoint",
        why="the weights of a model are in its checkpoints" + (", and each of them is damaged" if rejected else ""),
        fix="restore one from a copy" if rejected else "let it train until its first save",
        example=f"hydra checkpoint verify {run.id}",
    )


def _tokenizer(run: RunDirectory, digest: str | None) -> Tokenizer:
    tokenizer = load_tokenizer(Path(run.tokenizer))
    if digest is None or tokenizer.digest == digest:
        return tokenizer
    raise DataError(
        f"the tokenizer of run {run.id} is not the one it was trained with: {tokenizer.digest[:16]}, was {digest[:16]}",
        why="its ids would stand for other text than the model learned",
        fix=f"restore {run.tokenizer} from a copy, or from a checkpoint's folder",
        example=f"cp -r {run.checkpoints}/step-N/tokenizer {run.path}",
    )
