"""layout.json: for every tensor its shape, dtype and chunks, and for every chunk the file and the bytes that hold it.

The shard files are ordinary safetensors, so their headers say the same; both are compared before a byte is believed.
A tensor has one chunk if one process held it whole, several if ranks held slices.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from io import FileIO
from typing import Annotated, Literal

from pydantic import Field

from hydra.training.checkpoint import names
from hydra.training.checkpoint.complete import Stored

#: Element types by their name in safetensors, with their size in bytes.
ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
#: The largest header that safetensors itself accepts.
HEADER_LIMIT = 100_000_000

Size = Annotated[int, Field(ge=0, lt=1 << 48)]
#: dtype, shape and bytes of one tensor in a safetensors file
Entry = tuple[str, tuple[int, ...], tuple[int, int]]


class Chunk(Stored):
    """A box of a tensor and where its bytes are, row-major; `bytes` counts from the start of the file."""

    offset: tuple[Size, ...]
    shape: tuple[Size, ...]
    file: str
    bytes: tuple[Size, Size]


class TensorLayout(Stored):
    """A tensor and the chunks that it is made of."""

    shape: tuple[Size, ...]
    dtype: str
    chunks: Annotated[tuple[Chunk, ...], Field(min_length=1)]


class Layout(Stored):
    """The content of layout.json."""

    version: Literal[1] = Field(alias="schema")
    tensors: dict[str, TensorLayout]

    def entries(self, file: str) -> dict[str, Entry]:
        """What the header of a shard must say: key -> dtype, shape, bytes from the start of the file."""
        return {
            key_of(name, tensor.shape, chunk.offset, chunk.shape): (tensor.dtype, chunk.shape, chunk.bytes)
            for name, tensor in self.tensors.items()
            for chunk in tensor.chunks
            if chunk.file == file
        }

    def files(self) -> list[str]:
        """The shard files, in order."""
        return sorted({chunk.file for tensor in self.tensors.values() for chunk in tensor.chunks})

    def problems(self, sizes: Mapping[str, int]) -> list[str]:
        """Everything in which this layout contradicts itself or the sizes of the files."""
        found = []
        for name, tensor in self.tensors.items():
            found += [f"{names.LAYOUT}: tensor {name!r}: {problem}" for problem in _tensor_problems(tensor, sizes)]
        return found


def key_of(name: str, whole: tuple[int, ...], offset: tuple[int, ...], shape: tuple[int, ...]) -> str:
    """The name of a chunk in its shard: the tensor's own if it is whole, else with its offset, `name@[0, 512]`."""
    return name if whole == shape else f"{name}@{list(offset)}"


def header_problems(file: FileIO, size: int, entries: Mapping[str, Entry]) -> tuple[list[str], bytes]:
    """Compare a safetensors header with the layout; returns the differences and the bytes read from the file.

    The data must be covered by the tensors exactly, without overlap or gap, as the format demands.
    """
    prefix = read_exactly(file, min(8, size))
    length = int.from_bytes(prefix, "little")
    if size < 8 or length > min(HEADER_LIMIT, size - 8):
        return [f"its header claims {length:,} bytes, the file has {size:,}"], prefix
    text = read_exactly(file, length)
    start = 8 + length
    found = []
    if _parse(text, start) != dict(entries):
        found.append(f"its header does not agree with {names.LAYOUT}")
    ranges = sorted(entry[2] for entry in entries.values())
    ends = [start, *(end for _, end in ranges)]
    if [begin for begin, _ in ranges] != ends[:-1] or ends[-1] != size:
        found.append("its tensors overlap, leave gaps or leave the file")
    return found, prefix + text


def read_exactly(file: FileIO, size: int) -> bytes:
    """`size` bytes, or fewer if the file ends; an unbuffered file may need several reads."""
    parts: list[bytes] = []
    while size and (part := file.read(size)):
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


def _parse(text: bytes, start: int) -> dict[str, Entry] | None:
    """The entries of a safetensors header, or None if it is not one."""
    try:
        header = json.loads(text)
        header.pop("__metadata__", None)
        return {
            key: (
                entry["dtype"],
                tuple(entry["shape"]),
                (start + entry["data_offsets"][0], start + entry["data_offsets"][1]),
            )
            for key, entry in header.items()
        }
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        return None


def _tensor_problems(tensor: TensorLayout, sizes: Mapping[str, int]) -> list[str]:
    if tensor.dtype not in ITEM_BYTES:
        return [f"unknown dtype {tensor.dtype!r}"]
    found = []
    for chunk in tensor.chunks:
        dimensions = list(zip(chunk.offset, chunk.shape, tensor.shape, strict=False))
        if not len(chunk.offset) == len(chunk.shape) == len(tensor.shape) or any(o + s > t for o, s, t in dimensions):
            found.append(f"chunk {list(chunk.shape)} at {list(chunk.offset)} is outside of {list(tensor.shape)}")
        begin, end = chunk.bytes
        if not names.is_shard(chunk.file) or chunk.file not in sizes:
            found.append(f"its file {chunk.file!r} is no shard of this checkpoint")
        elif end > sizes[chunk.file]:
            found.append(f"its bytes end at {end:,}, {chunk.file} has {sizes[chunk.file]:,}")
        if end - begin != math.prod(chunk.shape) * ITEM_BYTES[tensor.dtype]:
            found.append(f"{end - begin:,} bytes cannot hold {list(chunk.shape)} of {tensor.dtype}")
    return found or _cover_problems(tensor)


def _cover_problems(tensor: TensorLayout) -> list[str]:
    """Chunks must fill the tensor and not overlap."""
    overlap = any(_overlap(a, b) for a, b in itertools.combinations(tensor.chunks, 2))
    filled = sum(math.prod(chunk.shape) for chunk in tensor.chunks) == math.prod(tensor.shape)
    return [] if filled and not overlap else ["its chunks overlap or do not fill it"]


def _overlap(a: Chunk, b: Chunk) -> bool:
    dimensions = zip(a.offset, a.shape, b.offset, b.shape, strict=True)
    return all(max(ao, bo) < min(ao + size_a, bo + size_b) for ao, size_a, bo, size_b in dimensions)
