"""Parquet files, one document a row."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from hydra.data.document import Document
from hydra.errors import DataError, nearest

_ROWS_AT_ONCE = 1024


def read_parquet(path: Path, column: str) -> Iterator[Document]:
    """The documents of a file; their origin is `file:row`, rows counted from 1.

    Raises DataError for a file that is not Parquet, a missing column, one that holds no text, and a null.
    """
    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            _check_column(path, column, file.schema_arrow)
            yield from _rows(path, column, file)
    except (pyarrow.ArrowException, OSError) as error:
        raise _refused(f"cannot read {path}: {error}", "it is not Parquet, or it is torn or damaged") from error


def _rows(path: Path, column: str, file: Any) -> Iterator[Document]:
    row = 0
    for batch in file.iter_batches(_ROWS_AT_ONCE, columns=[column]):
        for scalar in batch.column(0):
            row += 1
            try:
                text = scalar.as_py()
            except UnicodeDecodeError as error:
                raise _refused(f"{path}:{row}: column '{column}' is not UTF-8: {error}", "text must decode") from error
            if text is None:
                raise _refused(f"{path}:{row}: column '{column}' is null", "a document must have a text")
            yield Document(text, f"{path}:{row}")


def _check_column(path: Path, column: str, schema: Any) -> None:
    if column not in schema.names:
        close = nearest(column, schema.names)
        near = f"; did you mean '{close}'?" if close else ""
        raise _refused(f"{path}: no column '{column}'{near}", f"its columns are {list(schema.names)}")
    kind = schema.field(column).type
    if pyarrow.types.is_dictionary(kind):
        kind = kind.value_type
    if not (pyarrow.types.is_string(kind) or pyarrow.types.is_large_string(kind) or kind == pyarrow.string_view()):
        raise _refused(f"{path}: column '{column}' holds {kind}, not strings", "documents are text")


def _refused(what: str, why: str) -> DataError:
    return DataError(
        what,
        why=f"{why}; a row that is left out would change the corpus without a word",
        fix="repair the file, or name the column that holds the text in the manifest (column: ...)",
        example="corpus: {kind: parquet, files: [data/*.parquet], column: text}",
    )
