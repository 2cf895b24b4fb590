"""Nothing that a run contains can become a tag, an attribute or a byte that HTML does not allow."""

from __future__ import annotations

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from hydra.report.markup import Markup, escape, join, tag


class Reader(HTMLParser):
    """What a parser makes of a text: tags with attributes, and all characters between them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@given(st.text())
def test_any_text_is_read_back_as_text(text: str) -> None:
    page = tag("p", text)
    reader = Reader(page)
    assert [name for name, _ in reader.tags] == ["p"]
    shown = "".join(chr(0x2400 + ord(c)) if ord(c) < 32 and c not in "\n\t" else c for c in text).replace("\x7f", "␡")
    assert reader.text == shown
    page.encode("utf-8")


@given(st.text())
def test_any_text_is_read_back_from_an_attribute(text: str) -> None:
    reader = Reader(tag("p", class_=text))
    assert reader.tags[0][0] == "p"
    assert list(reader.tags[0][1]) == ["class"]
    assert '"' not in escape(text)


def test_lone_surrogates_cannot_break_the_file() -> None:
    assert escape("a\ud800b").encode("utf-8").decode("utf-8") == "a\ufffdb"


def test_what_was_built_here_is_not_escaped_again() -> None:
    inner = tag("b", "1 < 2")
    assert tag("p", inner, " & more") == "<p><b>1 &lt; 2</b> &amp; more</p>"
    assert escape(escape("<")) == "&lt;"
    assert join([Markup("<br>"), "<"]) == "<br>&lt;"


def test_attributes() -> None:
    assert tag("input", type="checkbox", checked=True, disabled=False, id=None) == '<input type="checkbox" checked>'
    assert (
        tag("label", for_="x", aria_label="y", viewBox="0 0 1 1")
        == '<label for="x" aria-label="y" viewBox="0 0 1 1"></label>'
    )
