"""JSON Lines: one object a line, the document's text in one of its fields."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from hydra.data.compressed import opened
from hydra.data.corpora.text import undecodable
from hydra.data.document import Document
from hydra.errors import DataError, nearest


def read_jsonl(path: Path, field: str) -> Iterator[Document]:
    """The documents of a file. Raises DataError with file and line for a line that is not exactly one such object."""
    with opened(path) as stream:
        for number, line in enumerate(stream, start=1):
            origin = f"{path}:{number}"
            yield Document(_text(_object(path, number, line), field, origin), origin)


def _object(path: Path, number: int, line: bytes) -> dict[str, object]:
    try:
        value = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise undecodable(path, number, error) from error
    except (ValueError, RecursionError) as error:
        raise _malformed(f"{path}:{number}: not JSON: {error}", f"the line is {_excerpt(line)}") from error
    if not isinstance(value, dict):
        raise _malformed(f"{path}:{number}: a {_json_type(value)}, not an object", f"the line is {_excerpt(line)}")
    return value


def _text(value: dict[str, object], field: str, origin: str) -> str:
    if field not in value:
        close = nearest(field, value)
        near = f"; did you mean '{close}'?" if close else ""
        raise _malformed(f"{origin}: no field '{field}'{near}", f"its fields are {sorted(value)}")
    text = value[field]
    if not isinstance(text, str):
        raise _malformed(f"{origin}: field '{field}' is a {_json_type(text)}, not a string", "documents are text")
    return text


def _json_type(value: object) -> str:
    kinds = {bool: "boolean", int: "number", float: "number", list: "list", dict: "object", str: "string"}
    return "null" if value is None else kinds[type(value)]


def _excerpt(line: bytes) -> str:
    return repr(line[:60].decode("utf-8", errors="replace")) + ("..." if len(line) > 60 else "")


def _malformed(what: str, why: str) -> DataError:
    return DataError(
        what,
        why=f"{why}; a line that is left out would change the corpus without a word",
        fix="repair or remove the line, or name the right field in the manifest (field: ...)",
        example='{"text": "one document, its line breaks written as \\n"}',
    )
