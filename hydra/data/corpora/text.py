"""Plain text files, one document each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from hydra.data.compressed import opened
from hydra.data.document import Document
from hydra.errors import DataError


def read_text(path: Path, errors: str) -> Iterator[Document]:
    """The one document of a file, byte for byte: line ends and a byte order mark are kept.

    `errors` is `strict` or `replace`. Raises DataError with the line of the first undecodable byte under `strict`.
    """
    with opened(path) as stream:
        raw = stream.read()
    try:
        yield Document(raw.decode("utf-8", errors=errors), f"{path}:1")
    except UnicodeDecodeError as error:
        raise undecodable(path, raw[: error.start].count(b"\n") + 1, error) from error


def undecodable(path: Path, line: int, error: UnicodeDecodeError) -> DataError:
    """The error for a line that is not UTF-8."""
    return DataError(
        f"{path}:{line}: byte 0x{error.object[error.start]:02x} is not UTF-8 ({error.reason})",
        why="text in another encoding would become other characters without a word",
        fix="convert the file to UTF-8, or for kind 'text' accept U+FFFD in place of such bytes with errors: replace",
        example=f"iconv --from-code=latin1 --to-code=utf-8 {path} --output={path}.utf8",
    )
