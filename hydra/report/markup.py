"""HTML that cannot be injected into: text is escaped unless it was built here.

A report shows what a model wrote, what a corpus held and what an exception said, so every string is hostile until it
went through `escape`. `Markup` marks the ones that did; `tag` takes both and escapes what is not marked.
"""

from __future__ import annotations

import html
from collections.abc import Iterable

Attribute = str | int | float | bool | None

_VOID = frozenset({"br", "input", "link", "meta"})
#: Control bytes are shown by their picture (U+2400 ...), lone surrogates as U+FFFD: neither may stand in HTML or UTF-8.
_SHOWN = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_SHOWN |= {127: 0x2421} | dict.fromkeys(range(0xD800, 0xE000), 0xFFFD)


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def escape(text: str) -> Markup:
    """Text as HTML, safe between tags and inside quoted attributes; what is marked already stays as it is."""
    return text if isinstance(text, Markup) else Markup(html.escape(text.translate(_SHOWN)))


def join(parts: Iterable[str]) -> Markup:
    """Parts one after another, escaped where they are plain text."""
    return Markup("".join(escape(part) for part in parts))


def tag(name: str, /, *children: str | None, **attributes: Attribute) -> Markup:
    """An element. `class_` and `for_` lose the line at their end, other underlines become dashes; None is left out.

    True writes the attribute without a value, False and None leave it out.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    if name in _VOID:
        assert not children, f"<{name}> holds nothing"
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(child for child in children if child is not None)}</{name}>")


def _attribute(key: str, value: Attribute) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    return f" {name}" if value is True else f' {name}="{escape(str(value))}"'
