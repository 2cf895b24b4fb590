"""Whether a setting named in `fleet.json` exists in the manifest, and which one was meant if not.

What lies below a `kind` (`model.blocks.0.mixer.heads`, `optimizer.lr`) depends on the manifest that is trained; it is
checked when that one is read.
"""

from __future__ import annotations

import typing
from collections.abc import Iterator
from typing import Any

from hydra.errors import nearest
from hydra.manifest.paths import Path, dotted
from hydra.manifest.root import Manifest
from hydra.manifest.section import Section
from hydra.manifest.shape import SPELLINGS, fields, inside


def fault_of(path: Path, value: Any) -> str | None:
    """What is wrong with setting this path of a manifest to this value, or None."""
    section: type[Section] = Manifest
    for index, part in enumerate(path):
        here, rest = dotted(path[: index + 1]), path[index + 1 :]
        info = fields(section).get(str(part))
        if info is None:
            return None if part in SPELLINGS.get(dotted(path[:index]), ()) else _unknown(path)
        below = inside(info)
        if below is None:
            single = rest and typing.get_origin(info.annotation) not in (dict, tuple)
            return f'"{here}" is a single value, and nothing is below it' if single else None
        if below.section is None or below.many:
            return None
        if not rest:
            names = ", ".join(fields(below.section))
            return f'"{here}" is a section; name one of its settings: {names}' if value is not None else None
        section = below.section
    return None


def _unknown(path: Path) -> str:
    known = list(_paths(Manifest, ()))
    last = str(path[-1])
    same = [name for name in known if name.rpartition(".")[2] == last]
    close = same[0] if len(same) == 1 else nearest(dotted(path), known)
    return f'the manifest has no setting "{dotted(path)}"' + (f'; did you mean "{close}"?' if close else "")


def _paths(section: type[Section], above: Path) -> Iterator[str]:
    for key, info in fields(section).items():
        below = inside(info)
        if below is not None and below.section is not None and not below.many:
            yield from _paths(below.section, (*above, key))
        else:
            yield dotted((*above, key))
