"""What the sections of the page are built of: headed parts, tables, and text that fits a budget."""

from __future__ import annotations

import json
from collections.abc import Sequence

from hydra.report.markup import Markup, escape, tag
from hydra.report.quantities import number

#: Bytes of the longest cell of a table.
CELL = 1_000


def section(key: str, title: str, note: str | None, *children: Markup) -> Markup:
    """A part of the page with its heading, and a note under it."""
    return tag("section", tag("h2", title), tag("p", note, class_="note") if note else None, *children, id=key)


def table(heads: Sequence[str], body: Sequence[Markup]) -> Markup:
    """A table that scrolls sideways on its own where the screen is narrow."""
    head = tag("tr", *(tag("th", name, scope="col") for name in heads))
    return tag("div", tag("table", tag("thead", head), tag("tbody", *body)), class_="scroll", tabindex=0)


def plain(value: object) -> str:
    """A value of a JSON or YAML file as people read it."""
    if isinstance(value, float):
        return number(value, 6)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def cut(text: str, limit: int) -> str:
    """Text whose HTML takes about `limit` bytes at most; what was cut off is counted."""
    kept = text[:limit]
    while len(escape(kept).encode("utf-8")) > limit:
        kept = kept[: len(kept) * 3 // 4]
    return text if len(kept) == len(text) else f"{kept}… ({len(text):,} characters)"


def share(total: int, count: int) -> int:
    """Bytes that each of `count` cells may take when all together take `total`."""
    return min(CELL, total // max(count, 1))
