"""What was set: the resolved manifest with the origin of each value, and where the run ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hydra.report.blocks import cut, plain, section, share, table
from hydra.report.contents import Contents, dig
from hydra.report.markup import Markup, tag

#: Rows of each of the two sections, and bytes of the values in them.
ROWS, VALUE_BYTES = 1_500, 150_000
_NAME = 200
#: Parts of the trainer's manifest file that are shown as the manifest, or say nothing to a reader.
_SHOWN_ABOVE = ("manifest", "origins", "schema")

Group = tuple[str, list[tuple[str, object]]]


def manifest(document: Mapping[str, Any]) -> Markup | None:
    """The resolved manifest by section, each value with who set it; what is a default is pale and can be hidden."""
    tree, origins = dig(document, "manifest"), dig(document, "origins")
    if not isinstance(tree, Mapping):
        return None
    single = {name: value for name, value in tree.items() if not isinstance(value, Mapping | list)}
    groups: list[Group] = [("the run", list(_leaves(single, "")))]
    groups += [(str(name), list(_leaves(value, str(name)))) for name, value in tree.items() if name not in single]
    hashes = [f"{name} {str(document.get(f'{name}_hash', '?'))[:12]}" for name in ("manifest", "experiment")]
    box = tag("input", type="checkbox", class_="hide-defaults")
    hide = tag("label", box, " only what somebody set", class_="toggle")
    parts = _folded(groups, origins if isinstance(origins, Mapping) else {})
    return section("manifest", "Manifest", f"Hashes: {' · '.join(hashes)}", hide, *parts)


def environment(contents: Contents) -> Markup | None:
    """Where the run ran, and what else its manifest file tells about code, data, seeds and layout."""
    about = {key: value for key, value in contents.manifest.items() if key not in _SHOWN_ABOVE}
    groups: list[Group] = [("the run", list(_leaves(about, "")))] if about else []
    groups += [(str(key), list(_leaves(value, str(key)))) for key, value in contents.environment.items()]
    return section("environment", "Environment", None, *_folded(groups, None)) if groups else None


def _folded(groups: list[Group], origins: Mapping[str, object] | None) -> Iterator[Markup]:
    """A folded table for each group, until the rows run out."""
    budget, left = share(VALUE_BYTES, sum(len(leaves) for _, leaves in groups)), ROWS
    for name, leaves in groups:
        rows = [_row(path, value, max(budget, 40), origins) for path, value in leaves[:left]]
        left -= len(rows)
        counted = f"{len(leaves)} values" if len(leaves) > 1 else "1 value"
        note = None
        if len(rows) < len(leaves):
            note = tag("p", f"{len(leaves) - len(rows):,} more are in the run's files.", class_="note")
        heads = ("name", "value") if origins is None else ("setting", "value", "set by")
        heading = tag("summary", cut(name, _NAME), " ", tag("small", counted))
        yield tag("details", heading, table(heads, rows), note)


def _row(path: str, value: object, budget: int, origins: Mapping[str, object] | None) -> Markup:
    cells = [tag("td", tag("code", cut(path, _NAME))), tag("td", tag("code", cut(plain(value), budget)))]
    if origins is None:
        return tag("tr", *cells)
    # A list of plain values is one row here, but each of its items has an origin.
    origin = str(origins.get(path, origins.get(f"{path}.0", "")))
    return tag("tr", *cells, tag("td", cut(origin, _NAME)), class_="default" if origin == "default" else None)


def _leaves(data: object, path: str) -> Iterator[tuple[str, object]]:
    """Dotted paths and values; lists of plain values stay one value."""
    if isinstance(data, Mapping) and data:
        for key, value in data.items():
            yield from _leaves(value, f"{path}.{key}" if path else str(key))
    elif isinstance(data, list) and any(isinstance(item, Mapping | list) for item in data):
        for index, value in enumerate(data):
            yield from _leaves(value, f"{path}.{index}")
    else:
        yield path, data
