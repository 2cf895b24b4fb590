"""docs/manifest.md: the guide, then every section and every kind with its keys, then the presets."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

from hydra.manifest.documentation.guide import GUIDE
from hydra.manifest.documentation.presets import preset_rows
from hydra.manifest.documentation.types import default_text, type_text
from hydra.manifest.root import Manifest
from hydra.manifest.section import Kind, Section, kinds
from hydra.manifest.shape import Inside, fields, inside, is_inferred

_HEADER = "<!-- Generated from the schema by `hydra schema --markdown`. Edit the schema, not this page. -->\n"


def markdown() -> str:
    """The whole page. Equal schemas give equal text."""
    parts = [_HEADER, GUIDE.strip(), "", "## Sections", "", _table("", Manifest), ""]
    documented: set[str] = set()
    for key, info in fields(Manifest).items():
        found = inside(info)
        if found is not None:
            parts.extend(_below(_place("", key, found), found, documented, level=2))
    parts += ["## Presets", "", "`model: {preset: NAME}` stands for one of these shapes.", ""]
    parts.extend(preset_rows())
    return "\n".join(parts).rstrip() + "\n"


def _below(where: str, found: Inside, documented: set[str], level: int) -> Iterator[str]:
    """Headings and tables of what lies inside a field, deeper levels after it."""
    if found.slot is None:
        assert found.section is not None
        yield from _section(where, found.section, documented, level)
        return
    if found.slot in documented:
        return
    documented.add(found.slot)
    yield f"{'#' * level} `{where}`: kinds of {found.slot}"
    yield ""
    for config in dict.fromkeys(kinds(found.slot).values()):
        names = [name for name, registered in kinds(found.slot).items() if registered is config]
        yield from _section(f"{where}: {', '.join(f'`kind: {name}`' for name in names)}", config, documented, level + 1)


def _section(where: str, section: type[Section], documented: set[str], level: int) -> Iterator[str]:
    if section.__name__ in documented:
        return
    documented.add(section.__name__)
    name, _, kind = where.partition(": ")
    yield f"{'#' * level} {kind or f'`{name}`'}"
    yield ""
    yield inspect.cleandoc(section.__doc__ or "")
    yield ""
    if set(fields(section)) - {"kind"}:
        yield _table(name, section)
        yield ""
    for key, info in fields(section).items():
        found = inside(info)
        if found is not None:
            yield from _below(_place(name, key, found), found, documented, min(level + 1, 5))


def _table(where: str, section: type[Section]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    schema = section.model_json_schema(by_alias=True)
    single = issubclass(section, Kind) and "const" in schema["properties"]["kind"]
    for key, info in fields(section).items():
        if key == "kind" and single:
            continue
        default = "inferred" if is_inferred(info) else default_text(info)
        cells = (f"`{key}`", type_text(schema["properties"][key], inside(info)), default, info.description or "")
        rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(rows)


def _place(where: str, key: str, found: Inside) -> str:
    name = f"{where}.{key}" if where else key
    return f"{name}[]" if found.many else name
