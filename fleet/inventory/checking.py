"""The whole check of one file: JSON, schema, meaning. Imports pydantic."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fleet.inventory.checks import check_meaning
from fleet.inventory.complaints import check_schema
from fleet.inventory.faults import Fault, Faults, InvalidInventory
from fleet.inventory.located import Malformed, read, written
from fleet.inventory.merge import merged


def checked(path: Path, text: str) -> dict[str, Any]:
    """The merged data of a file that is valid. Raises InvalidInventory with all mistakes of one that is not."""
    try:
        located = read(text)
    except Malformed as error:
        fault = Fault(error.line, written(error.path) or "(top)", error.what)
        raise InvalidInventory.of(path, [fault]) from error
    faults = Faults(located)
    check_schema(located.data, faults)
    check_meaning(located.data, faults)
    if faults.found:
        raise InvalidInventory.of(path, faults.found)
    return merged(located.data, path.name)
