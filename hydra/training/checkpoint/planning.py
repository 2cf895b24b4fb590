"""From tensors to bytes: which chunk goes into which file, and where it waits in shared memory.

torch's planner says which chunks this process has to write (a whole tensor, or the local shard of a distributed one);
here they are laid out. Tensors whose names begin differently (`model.`, `optimizer.`) never share a file, so reading a
model without its optimizer reads the model's files only.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributed.checkpoint.default_planner import DefaultSavePlanner
from torch.distributed.checkpoint.metadata import (
    ChunkStorageMetadata,
    Metadata,
    TensorProperties,
    TensorStorageMetadata,
)
from torch.distributed.checkpoint.planner import SavePlanner, WriteItem

from hydra.errors import CheckpointError
from hydra.training.checkpoint import names
from hydra.training.checkpoint.layout import ITEM_BYTES, Chunk, Layout, TensorLayout, key_of
from hydra.training.checkpoint.request import Shard

#: Bytes of tensors after which the next shard begins; a larger tensor has a shard to itself.
SHARD_BYTES = 1 << 30
#: Shards begin at page boundaries of the shared memory.
_ALIGNMENT = 4096

NAMES: dict[torch.dtype, str] = {
    torch.bool: "BOOL", torch.uint8: "U8", torch.int8: "I8", torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2", torch.uint16: "U16", torch.int16: "I16", torch.float16: "F16",
    torch.bfloat16: "BF16", torch.uint32: "U32", torch.int32: "I32", torch.float32: "F32", torch.uint64: "U64",
    torch.int64: "I64", torch.float64: "F64", torch.complex64: "C64",
}  # fmt: skip
DTYPES = {name: dtype for dtype, name in NAMES.items()}


@dataclass(frozen=True, slots=True)
class Piece:
    """One chunk to be written."""

    item: WriteItem
    name: str
    dtype: str
    whole: tuple[int, ...]
    """Shape of the tensor that it belongs to."""
    offset: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Bytes."""
        return math.prod(self.shape) * ITEM_BYTES[self.dtype]

    @property
    def order(self) -> tuple[str, int, str, tuple[int, ...]]:
        """By first name, then wide elements before narrow ones, so that each lies at a multiple of its width."""
        return (self.name.partition(".")[0], -ITEM_BYTES[self.dtype], self.name, self.offset)


@dataclass(frozen=True, slots=True)
class Plan:
    """Where everything goes."""

    layout: Layout
    shards: tuple[Shard, ...]
    memory: int
    """Bytes of shared memory needed, at least 1."""
    places: tuple[tuple[Piece, int], ...]
    """Each chunk with its position in the shared memory."""
    planner: SavePlanner

    def stage(self, memory: Tensor) -> None:
        """Copy all chunks to shared memory and wait until they are there; this is the stall of a save.

        The copies are enqueued on the current streams, so they see everything that was enqueued before. With pinned
        memory they run back to back at the speed of the bus.
        """
        devices = set()
        with torch.no_grad():
            for piece, position in self.places:
                source = self.planner.resolve_data(piece.item)
                assert isinstance(source, Tensor)
                target = memory[position : position + piece.size].view(DTYPES[piece.dtype]).view(piece.shape)
                target.copy_(source, non_blocking=True)
                devices.add(source.device)
        for device in devices:
            if device.type == "cuda":
                torch.cuda.current_stream(device).synchronize()


def make_plan(tensors: Mapping[str, Tensor]) -> Plan:
    """Lay out a flat dictionary of tensors. Raises CheckpointError for what the format cannot hold."""
    _check(tensors)
    planner = DefaultSavePlanner(flatten_state_dict=False, flatten_sharded_tensors=False)
    planner.set_up_planner(dict(tensors), is_coordinator=True)
    plans, _ = planner.create_global_plan([planner.create_local_plan()])
    pieces = sorted((_piece(item) for item in planner.finish_plan(plans[0]).items), key=lambda piece: piece.order)
    chunks: dict[str, list[Chunk]] = {}
    shards: list[Shard] = []
    places: list[tuple[Piece, int]] = []
    position = 0
    for index, members in enumerate(_split(pieces)):
        header, starts = _header(members)
        for piece, start in zip(members, starts, strict=True):
            begin = 8 + len(header) + start
            chunk = Chunk(
                offset=piece.offset, shape=piece.shape, file=names.shard(index), bytes=(begin, begin + piece.size)
            )
            chunks.setdefault(piece.name, []).append(chunk)
            places.append((piece, position + start))
        length = sum(piece.size for piece in members)
        shards.append(Shard(names.shard(index), header, position, length))
        position += -(-length // _ALIGNMENT) * _ALIGNMENT
    whole = {piece.name: piece for piece in pieces}
    layout = {
        name: TensorLayout(shape=whole[name].whole, dtype=whole[name].dtype, chunks=tuple(found))
        for name, found in sorted(chunks.items())
    }
    return Plan(Layout(schema=names.SCHEMA, tensors=layout), tuple(shards), max(position, 1), tuple(places), planner)


def metadata_of(layout: Layout) -> Metadata:
    """The layout in the terms of torch's distributed checkpoint, whose planner then finds what to read."""
    return Metadata(
        state_dict_metadata={
            name: TensorStorageMetadata(
                properties=TensorProperties(dtype=DTYPES[tensor.dtype]),
                size=torch.Size(tensor.shape),
                chunks=[ChunkStorageMetadata(torch.Size(c.offset), torch.Size(c.shape)) for c in tensor.chunks],
            )
            for name, tensor in layout.tensors.items()
        }
    )


def _piece(item: WriteItem) -> Piece:
    data = item.tensor_data
    assert data is not None, "only tensors are planned"
    return Piece(
        item,
        item.index.fqn,
        NAMES[data.properties.dtype],
        tuple(data.size),
        tuple(data.chunk.offsets),
        tuple(data.chunk.sizes),
    )


def _split(pieces: Sequence[Piece]) -> list[list[Piece]]:
    shards: list[list[Piece]] = []
    size = 0
    for piece in pieces:
        fits = bool(shards) and shards[-1][-1].order[0] == piece.order[0] and size + piece.size <= SHARD_BYTES
        if fits:
            shards[-1].append(piece)
        else:
            shards.append([piece])
        size = size + piece.size if fits else piece.size
    return shards


def _header(pieces: Sequence[Piece]) -> tuple[str, list[int]]:
    """The safetensors header of one shard, padded to 8 bytes, and the start of each chunk in its data."""
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    starts: list[int] = []
    end = 0
    for piece in pieces:
        key = key_of(piece.name, piece.whole, piece.offset, piece.shape)
        starts.append(end)
        end += piece.size
        entries[key] = {"dtype": piece.dtype, "shape": piece.shape, "data_offsets": [starts[-1], end]}
    text = json.dumps(entries, separators=(",", ":"))
    return text + " " * (-len(text) % 8), starts


def _check(tensors: Mapping[str, Tensor]) -> None:
    problems = [
        f"{name!r} is {value.dtype if isinstance(value, Tensor) else type(value).__name__}"
        for name, value in tensors.items()
        if not isinstance(value, Tensor) or value.dtype not in NAMES or not name or name == "__metadata__"
    ]
    if problems:
        raise CheckpointError(
            f"these cannot be stored in a checkpoint: {', '.join(problems)}",
            why="a checkpoint holds tensors of ordinary types under names that safetensors allows, and nothing else",
            fix="put numbers and texts into the training record; convert tensors of other types",
            example='store.save(step, {"model.weight": weight}, {"tokens": 1000})',
        )
