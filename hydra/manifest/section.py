"""The base of every manifest section, and the slots that other rooms fill with kinds.

A section is strict: unknown keys, wrong types and non-finite numbers are errors, because a typo that is accepted
trains another model than the one that was meant. A slot is a field whose shape depends on its `kind`; the room that
implements a kind owns its configuration class, and `registrations.py` is the one place that names it.
"""

from __future__ import annotations

import functools
import importlib
from typing import Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from hydra.manifest.registrations import KINDS


class Section(BaseModel):
    """One strict, immutable part of a manifest; subclasses list its fields."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, validate_default=True, allow_inf_nan=False)


class Kind(Section):
    """A section that is one of several variants, told apart by its `kind`."""

    kind: str

    @classmethod
    def inferred(cls, values: dict[str, Any], width: int) -> dict[str, Any]:
        """Sizes that follow from the model's width and from the values as written.

        A kind that has such sizes overrides this; fields already written are left alone. Raises ValueError, naming
        both numbers as `name=value`, when no whole size follows.
        """
        return {}


class Impossible(ValueError):
    """Well-formed values from which nothing can be built, with the remedy.

    Validators of sections raise it where a plain ValueError would leave the reader to guess what to change.
    """

    def __init__(self, what: str, *, fix: str, example: str) -> None:
        super().__init__(what)
        self.fix, self.example = fix, example


@functools.cache
def kinds(slot: str) -> dict[str, type[Kind]]:
    """The configuration class of every kind registered for a slot, imported on first use."""
    found: dict[str, type[Kind]] = {}
    for name, home in KINDS[slot].items():
        module, _, attribute = home.partition(":")
        found[name] = getattr(importlib.import_module(module), attribute)
    return found


class Slot:
    """Annotation that turns a field into the discriminated union of all kinds registered for `name`.

    The union is built when the schema is first needed, not at import: rooms may then import this module freely.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Replace the annotated base class by the union of its registered kinds, tagged even if there is only one."""
        classes = kinds(self.name)
        schemas = {config: handler.generate_schema(config) for config in dict.fromkeys(classes.values())}
        return core_schema.tagged_union_schema({name: schemas[config] for name, config in classes.items()}, "kind")
