"""Reading tensors back: torch's planner decides which boxes of which chunks go where, the bytes are ours.

Each shard that holds something wanted is read once, from its first byte to its last; its SHA-256 is computed on the way
and compared at the end. Shards are read side by side. No collective is involved, so a bad file on one rank cannot leave
the others waiting.
"""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.default_planner import DefaultLoadPlanner
from torch.distributed.checkpoint.metadata import Metadata
from torch.distributed.checkpoint.planner import LoadPlan, LoadPlanner, ReadItem
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.storage import StorageReader
from torch.futures import Future

from hydra.errors import CheckpointError
from hydra.training.checkpoint.complete import Complete, torn
from hydra.training.checkpoint.durable import PIECE, open_regular
from hydra.training.checkpoint.layout import Chunk, Layout, header_problems
from hydra.training.checkpoint.planning import DTYPES, NAMES, metadata_of

#: Shards read at a time.
THREADS = 8


def load_into(folder: Path, complete: Complete, layout: Layout, tensors: Mapping[str, Tensor]) -> None:
    """Fill tensors in place; every name must be in the checkpoint with the same shape and dtype.

    Raises CheckpointError if a file is damaged; the tensors then hold anything and must not be used.
    """
    planner = DefaultLoadPlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="torch.distributed is disabled")
        try:
            load(dict(tensors), storage_reader=ShardReader(folder, complete, layout), planner=planner, no_dist=True)
        except CheckpointException as error:
            # torch collects the errors of all ranks; this is the one of this process.
            cause, _ = next(iter(error.failures.values()))
            raise cause from None


def mismatches(layout: Layout, tensors: Mapping[str, Tensor]) -> list[str]:
    """Every way in which tensors differ from what a checkpoint holds: missing, unexpected, shape, dtype."""
    stored = layout.tensors
    found = [f"missing in the checkpoint: {name}" for name in tensors if name not in stored]
    found += [f"only in the checkpoint: {name}" for name in stored if name not in tensors]
    for name, tensor in tensors.items():
        if (entry := stored.get(name)) is None:
            continue
        if tuple(tensor.shape) != entry.shape:
            found.append(f"{name}: shape {list(tensor.shape)}, in the checkpoint {list(entry.shape)}")
        if tensor.dtype != DTYPES[entry.dtype]:
            found.append(f"{name}: dtype {NAMES.get(tensor.dtype, tensor.dtype)}, in the checkpoint {entry.dtype}")
    return found


class ShardReader(StorageReader):
    """Our storage under torch's distributed checkpoint. It reads tensors only and never executes anything it reads."""

    def __init__(self, folder: Path, complete: Complete, layout: Layout) -> None:
        self._folder, self._complete, self._layout = folder, complete, layout

    def reset(self, checkpoint_id: str | os.PathLike[str] | None = None) -> None:
        """A reader is made for one checkpoint; there is nothing to reset."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Metadata:
        """The layout, which was checked before this reader was made."""
        return metadata_of(self._layout)

    def set_up_storage_reader(self, metadata: Metadata, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        """Every rank reads for itself."""

    def prepare_local_plan(self, plan: LoadPlan) -> LoadPlan:
        """The planner's plan as it is."""
        return plan

    def prepare_global_plan(self, plans: list[LoadPlan]) -> list[LoadPlan]:
        """The planner's plans as they are."""
        return plans

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: str | os.PathLike[str]) -> bool:
        """Readers are made explicitly, never chosen by an id."""
        return False

    def read_data(self, plan: LoadPlan, planner: LoadPlanner) -> Future[None]:
        """Read all shards that hold something wanted. Raises CheckpointError naming every damaged file."""
        wanted: dict[tuple[str, tuple[int, ...]], list[ReadItem]] = {}
        for item in plan.items:
            wanted.setdefault((item.storage_index.fqn, tuple(item.storage_index.offset or ())), []).append(item)
        jobs: dict[str, list[tuple[Chunk, str, list[ReadItem]]]] = {}
        for name, tensor in self._layout.tensors.items():
            for chunk in tensor.chunks:
                jobs.setdefault(chunk.file, []).append((chunk, tensor.dtype, wanted.get((name, chunk.offset), [])))
        needed = {file: job for file, job in jobs.items() if any(items for _, _, items in job)}
        with ThreadPoolExecutor(THREADS) as pool:
            found = list(pool.map(lambda file: self._read_shard(file, needed[file], planner), needed))
        if problems := [problem for shard in found for problem in shard]:
            raise torn(self._folder, problems)
        done: Future[None] = Future()
        done.set_result(None)
        return done

    def _read_shard(
        self, name: str, job: Sequence[tuple[Chunk, str, list[ReadItem]]], planner: LoadPlanner
    ) -> list[str]:
        """One pass over one file; returns what is wrong with it."""
        expected = self._complete.files[name]
        try:
            with open_regular(self._folder / name) as file:
                size = os.fstat(file.fileno()).st_size
                if size != expected.size:
                    return [f"{name} has {size:,} bytes instead of {expected.size:,}"]
                problems, read = header_problems(file, size, self._layout.entries(name))
                if problems:
                    return [f"{name}: {problem}" for problem in problems]
                digest = hashlib.sha256(read)
                for chunk, dtype, items in sorted(job, key=lambda entry: entry[0].bytes):
                    data = _read_chunk(file, chunk.bytes[1] - chunk.bytes[0], digest)
                    if data is None:
                        return [f"{name} ends early"]
                    _deliver(data.view(DTYPES[dtype]).view(chunk.shape), items, planner)
        except OSError as error:
            return [f"{name}: {error.strerror or error}"]
        return [] if digest.hexdigest() == expected.sha256 else [f"{name} has another SHA-256 than when it was written"]


def _read_chunk(file: FileIO, size: int, digest: hashlib._Hash) -> Tensor | None:
    """The next bytes of a file, hashed piece by piece; None if the file ends before."""
    data = torch.empty(size, dtype=torch.uint8)
    view = data.numpy().data
    position = 0
    while position < size:
        count = file.readinto(view[position : position + PIECE])
        if not count:
            return None
        digest.update(view[position : position + count])
        position += count
    return data


def _deliver(chunk: Tensor, items: Sequence[ReadItem], planner: LoadPlanner) -> None:
    """Copy the wanted boxes of a chunk to where the planner wants them."""
    for item in items:
        box = tuple(slice(o, o + n) for o, n in zip(item.storage_offsets, item.lengths, strict=True))
        target = planner.resolve_tensor(item).detach()
        target.copy_(chunk[box])
        planner.commit_tensor(item, target)


def refuse(folder: Path, differences: Sequence[str]) -> CheckpointError:
    """The error for a checkpoint that is sound, but of another model."""
    return CheckpointError(
        f"{folder} does not match the model:\n  - " + "\n  - ".join(differences),
        why="loading only what fits would train a model that is partly random, so names, shapes and types are strict",
        fix="use the manifest that the checkpoint was made with (manifest.yaml of its run)",
        example="python trainer.py --resume RUN",
    )
