"""Tokenizers from a directory that `Tokenizer.save` wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hydra.data.tokenizers.bytes import ByteTokenizer
from hydra.data.tokenizers.huggingface import JsonTokenizer, read_definition
from hydra.data.tokenizers.ids import IdTokenizer
from hydra.data.tokenizers.tokenizer import IDENTITY, Tokenizer
from hydra.errors import DataError


def load_tokenizer(directory: Path) -> Tokenizer:
    """The tokenizer saved in a directory. Raises DataError if it is missing or not what was saved."""
    path = directory / IDENTITY
    try:
        saved = json.loads(path.read_bytes().decode("utf-8"))
        tokenizer = _built(saved, directory)
        same = tokenizer.digest == saved["digest"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(path, f"{type(error).__name__}: {error}") from error
    if not same:
        raise _damaged(path, f"its digest is {tokenizer.digest}, saved was {saved['digest']}")
    return tokenizer


def _built(saved: dict[str, Any], directory: Path) -> Tokenizer:
    match saved["kind"]:
        case "bytes":
            return ByteTokenizer()
        case "ids":
            return IdTokenizer(int(saved["size"]))
        case "huggingface":
            path = directory / str(saved["file"])
            return JsonTokenizer(read_definition(path), str(saved["end_of_document_token"]), str(path))
        case other:
            raise ValueError(f"unknown kind {other!r}")


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path} does not hold a saved tokenizer: {reason}",
        why="the files are missing or were changed after they were saved, so ids would mean something else",
        fix="restore the directory, or build the tokenizer again from the manifest",
        example="hydra data build manifests/default.yaml --out shards",
    )
