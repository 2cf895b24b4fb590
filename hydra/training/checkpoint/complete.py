"""COMPLETE.json: who wrote a checkpoint, and each of its files with size and SHA-256.

It is written last, so where it stands everything else stood before; and it is the one file that no digest covers, so it
is read with suspicion: strict types, bounded size, and no file name that leads out of the checkpoint.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from hydra.errors import CheckpointError
from hydra.training.checkpoint import names
from hydra.training.checkpoint.durable import Digest, open_regular

#: Bytes of the largest JSON file that is read: a hostile one shall not fill the memory.
JSON_LIMIT = 256 << 20

Natural = Annotated[int, Field(ge=0, lt=1 << 60)]


class Stored(BaseModel):
    """The base of what a checkpoint's JSON files hold: strict types, no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, serialize_by_alias=True, validate_by_alias=True)


def _inside(name: str) -> str:
    if not names.is_inside(name) or name == names.COMPLETE:
        raise ValueError(f"{name!r} is no file of a checkpoint")
    return name


class File(Stored):
    """Size and digest of one file."""

    size: Natural
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    def digest(self) -> Digest:
        """The same as it is measured."""
        return Digest(self.size, self.sha256)


class Complete(Stored):
    """The content of COMPLETE.json."""

    version: Literal[1] = Field(alias="schema")
    run: str
    """Run id."""
    attempt: Natural
    step: Natural
    serial: Natural
    """Number of this save in the run: the highest is the newest, also after a resume from an earlier step."""
    configuration: str
    """Hash of the experiment (`hydra.manifest.experiment_hash`)."""
    world_size: Annotated[int, Field(ge=1)]
    part: Literal[1]
    parts: Literal[1]
    """`part 1 of 1`: all files are on one disk."""
    metric: Annotated[float, Field(allow_inf_nan=False)] | None
    """Bits per byte on the held-out rows at this step, or null."""
    created: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    """Unix seconds."""
    files: dict[Annotated[str, AfterValidator(_inside)], File]

    @property
    def size(self) -> int:
        """Bytes of all listed files."""
        return sum(file.size for file in self.files.values())


def read_complete(folder: Path, step: int) -> Complete:
    """Read and check COMPLETE.json. Raises CheckpointError if it is missing, malformed or of another step."""
    text = read_json_text(folder / names.COMPLETE)
    try:
        complete = Complete.model_validate_json(text)
    except ValidationError as error:
        raise torn(folder, [f"{names.COMPLETE}: {problem}" for problem in complaints(error)]) from error
    wrong = []
    if complete.step != step:
        wrong.append(f"{names.COMPLETE} belongs to step {complete.step}")
    wrong += [
        f"{names.COMPLETE} does not list {name}" for name in (names.LAYOUT, names.TRAIN) if name not in complete.files
    ]
    if wrong:
        raise torn(folder, wrong)
    return complete


def read_json_text(path: Path) -> bytes:
    """The bytes of a JSON file that is regular and not absurdly large. Raises CheckpointError."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size > JSON_LIMIT:
                raise torn(path.parent, [f"{path.name} has {size:,} bytes, more than any file of its kind"])
            return file.read()
    except OSError as error:
        raise torn(path.parent, [f"{path.name}: {error.strerror or error}"]) from error


def complaints(error: ValidationError) -> list[str]:
    """What a JSON file has wrong, one sentence each, at most ten."""
    found = [f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors()]
    return found if len(found) <= 10 else [*found[:10], f"and {len(found) - 10} more"]


def torn(folder: Path, problems: list[str]) -> CheckpointError:
    """The error for a checkpoint that is not what it should be."""
    return CheckpointError(
        f"checkpoint {folder} did not verify:\n  - " + "\n  - ".join(problems),
        why="its files are not the ones that were written: damaged, incomplete or changed from outside",
        fix="resume from an older checkpoint; the damaged one stays where it is",
        example="hydra checkpoint list RUN && python trainer.py --resume RUN@STEP",
    )
