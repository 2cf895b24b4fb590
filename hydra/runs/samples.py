"""`samples.jsonl`: text that the model wrote during training, kept by step so that no round overwrites another."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Required, TypedDict, cast

from hydra.runs.closing import Closing
from hydra.runs.encoding import encode
from hydra.runs.following import JsonReader
from hydra.runs.lines import LineWriter


class SampleRow(TypedDict, total=False):
    """One generated text; `(step, prompt_id, index)` is its key."""

    step: Required[int]
    """Optimizer steps that the model had when it wrote."""
    attempt: Required[int]
    """Which attempt of the run wrote the line; for a key written twice the highest counts."""
    set: Required[str]
    """Name of the set of prompts."""
    prompt_id: Required[str]
    """Which prompt of the set."""
    index: Required[int]
    """Which of several answers to the same prompt, from 0."""
    seed: Required[int]
    """Seed of the sampling."""
    settings: Required[dict[str, Any]]
    """Temperature, top-k, top-p, limit of tokens."""
    prompt: str
    """The text that was continued."""
    text: Required[str]
    """The continuation."""
    tokens: Required[int]
    """Tokens in it."""
    ended: Required[str]
    """Why it ended: `stop`, `length`, ..."""
    repetitive: bool
    """Whether the text circles in itself."""


FIELDS: Final = frozenset(SampleRow.__annotations__)
_REQUIRED: Final = FIELDS - {"prompt", "repetitive", "attempt"}


class SampleWriter(Closing):
    """Appends generated texts. Raises RunWriteError when the disk refuses."""

    def __init__(self, path: Path, attempt: int) -> None:
        self._attempt = attempt
        self._lines = LineWriter(path)

    def append(self, row: Mapping[str, object]) -> None:
        """Add one text with the fields of `SampleRow`; the attempt is added here."""
        if not _REQUIRED <= set(row) <= FIELDS:
            wrong = sorted((_REQUIRED - set(row)) | (set(row) - FIELDS))
            raise AssertionError(f"a sample lacks or must not have: {', '.join(wrong)}")
        self._lines.append(encode({**row, "attempt": self._attempt}))

    def close(self) -> None:
        """Sync and close."""
        self._lines.close()


def read_samples(path: Path) -> list[SampleRow]:
    """The samples of a run, each key once with the highest attempt, by step and then in order of writing."""
    found: dict[tuple[int, str, int], SampleRow] = {}
    for row in JsonReader(path, numbers=False).drain():
        match row:
            case {"step": int(step), "prompt_id": str(prompt), "index": int(index), "attempt": int(attempt)}:
                earlier = found.get((step, prompt, index))
                if earlier is None or earlier["attempt"] <= attempt:
                    found[step, prompt, index] = cast(SampleRow, row)
    return sorted(found.values(), key=lambda row: row["step"])
