"""The base of everything typed that a run directory holds: strict fields, no unknown key, never changed in place."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from hydra.errors import RunError
from hydra.runs.atomic import write_json


class Record(BaseModel):
    """A JSON object with a fixed set of fields.

    Validation is strict and happens when the record is made or read, so what holds a record need not check it again.
    """

    # Validators are built at first use: programs that only want paths import this room too.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True, defer_build=True)

    def to_json(self) -> dict[str, Any]:
        """The record as JSON has it, by the names that the files use."""
        return self.model_dump(mode="json", by_alias=True)

    def write(self, path: Path, *, durable: bool = True) -> None:
        """Replace a JSON file by this record, atomically. Raises RunWriteError."""
        write_json(path, self.to_json(), durable=durable)

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """The record in a JSON file, or None if the file does not exist. Raises RunError if it holds anything else."""
        try:
            text = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise _malformed(path, error) from error


def _malformed(path: Path, error: ValidationError) -> RunError:
    problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in error.errors())
    return RunError(
        f"{path} does not hold what it should: {problems}",
        why="it is only ever replaced as a whole, so another version of Hydra wrote it or it was edited",
        fix="read the run with the version that wrote it, or remove the file if the run has ended",
        example=f"cat {path}",
    )
