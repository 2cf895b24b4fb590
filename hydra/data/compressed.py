"""Files as byte streams, `.gz` and `.zst` unpacked on the way."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import pyarrow

from hydra.errors import DataError


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The content of a file, unpacked if its name ends in `.gz` or `.zst`.

    Raises DataError, also from inside the block, for a file that cannot be read and for a compressed stream that is
    torn or damaged.
    """
    try:
        with _stream(path) as stream:
            yield stream
    except (EOFError, zlib.error, OSError) as error:
        raise DataError(
            f"cannot read {path}: {error}",
            why="the file is missing, unreadable, or its compressed stream is torn or damaged",
            fix="check the file, and fetch it again if it was cut short",
            example=f"gzip --test {path}" if path.suffix == ".gz" else f"ls -l {path}",
        ) from error


def _stream(path: Path) -> BinaryIO:
    if path.suffix == ".gz":
        return cast(BinaryIO, gzip.open(path, "rb"))
    if path.suffix == ".zst":
        return io.BufferedReader(pyarrow.input_stream(str(path), compression="zstd", buffer_size=0), 1 << 20)
    return path.open("rb")
