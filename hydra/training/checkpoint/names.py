"""The names inside `checkpoints/`. Standard library only: the writer process uses them too.

step-1200/                layout.json  shard-00000.safetensors ...  train.json  tokenizer/  COMPLETE.json
latest, best              one line each: the name of a checkpoint
.tmp-step-1300/           in progress
.trash-step-900/          on its way out
.replaced-step-1200/      made way for a newer checkpoint of the same step; put back if that one never arrived
rejected-step-1200-1/     failed verification and made way the same way; kept for whoever wants to know why
.lock                     held by the writer process
"""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Final

SCHEMA: Final = 1

LAYOUT: Final = "layout.json"
TRAIN: Final = "train.json"
COMPLETE: Final = "COMPLETE.json"
TOKENIZER: Final = "tokenizer"
LATEST: Final = "latest"
BEST: Final = "best"
LOCK: Final = ".lock"

TEMPORARY: Final = ".tmp-"
TRASH: Final = ".trash-"
REPLACED: Final = ".replaced-"

_STEP = re.compile(r"step-(0|[1-9][0-9]{0,17})")
_SHARD = re.compile(r"shard-[0-9]{5}\.safetensors")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\\]")


def folder(step: int) -> str:
    """The directory of a complete checkpoint."""
    return f"step-{step}"


def step_of(name: str) -> int | None:
    """The step that a directory name stands for, or None if it is no complete checkpoint's."""
    match = _STEP.fullmatch(name)
    return int(match[1]) if match else None


def shard(index: int) -> str:
    """The file of one shard."""
    return f"shard-{index:05d}.safetensors"


def is_shard(name: str) -> bool:
    """Whether a file may hold tensors."""
    return _SHARD.fullmatch(name) is not None


def is_inside(name: str) -> bool:
    """Whether a file name of a checkpoint stays inside of it: relative, no `..`, no control bytes."""
    parts = PurePosixPath(name).parts
    return (
        bool(parts) and "/".join(parts) == name and ".." not in parts and parts[0] != "/" and not _CONTROL.search(name)
    )
