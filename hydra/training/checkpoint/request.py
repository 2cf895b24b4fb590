"""What the trainer asks of the writer process, and its answer: one line of JSON each. Standard library only."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shard:
    """One safetensors file: its name, its header, and where its data lie in the shared memory."""

    file: str
    header: str
    offset: int
    length: int


@dataclass(frozen=True, slots=True)
class SaveRequest:
    """Everything the writer needs for one checkpoint; it decides nothing itself."""

    step: int
    memory: int
    """Bytes of the shared memory in use."""
    shards: tuple[Shard, ...]
    documents: dict[str, str]
    """Name -> text of the JSON files."""
    tokenizer: str | None
    """Directory to copy, or none."""
    complete: dict[str, Any]
    """Content of COMPLETE.json but for the files."""
    room: int
    """Bytes that must be free before anything is written."""
    read_back: bool
    aside: str | None
    """Name under which a checkpoint of the same step is kept; none removes it once it is replaced."""
    best: int | None
    """Step that `best` names afterwards; none removes the pointer."""
    remove: tuple[int, ...]
    """Steps to remove once this one is complete."""

    def line(self) -> bytes:
        """The request as one line."""
        return json.dumps(asdict(self), allow_nan=False).encode("ascii") + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> SaveRequest:
        """The request of a line."""
        fields = json.loads(line)
        fields["shards"] = tuple(Shard(**shard) for shard in fields["shards"])
        fields["remove"] = tuple(fields["remove"])
        return cls(**fields)


@dataclass(frozen=True, slots=True)
class Reply:
    """What became of a request."""

    step: int
    seconds: float
    size: int
    """Bytes of all files of the checkpoint."""
    error: str | None
    """Why the checkpoint could not be written; none means that it is complete."""
    complaint: str | None
    """What went wrong after it was complete: a pointer that did not move, an old checkpoint that did not go."""

    def line(self) -> bytes:
        """The reply as one line."""
        return json.dumps(asdict(self)).encode("ascii") + b"\n"

    @classmethod
    def parse(cls, line: bytes) -> Reply:
        """The reply of a line."""
        return cls(**json.loads(line))
