"""What a `fleet.json` may hold: the JSON Schema and an example to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def schema() -> dict[str, Any]:
    """The JSON Schema of `fleet.json`, for editors. Imports pydantic."""
    from fleet.inventory.document import Document

    described = Document.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_without_null_defaults(described)}


def example() -> str:
    """The text of a `fleet.json` that is valid and shows every part; its addresses belong to nobody."""
    return Path(__file__).with_name("example.json").read_text("utf-8")


def _without_null_defaults(value: Any) -> Any:
    """A key that may be absent has no default in the file: null would be refused."""
    if isinstance(value, dict):
        return {key: _without_null_defaults(item) for key, item in value.items() if (key, item) != ("default", None)}
    return [_without_null_defaults(item) for item in value] if isinstance(value, list) else value
