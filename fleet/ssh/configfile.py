"""Lines and patterns of OpenSSH's client configuration files, split the way OpenSSH splits them (ssh_config(5))."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from fleet.errors import Usage

#: Keywords whose value is the rest of the line as it stands.
RAW = frozenset({"proxycommand", "proxyjump"})
_LINE = re.compile(r'"?([A-Za-z0-9]+)"?(?:\s*=\s*|\s+|$)(.*)', re.DOTALL)
_PART = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'|((?:[^\s"\'\\]|\\.)+)')
_ESCAPE = re.compile(r"\\([\"'\\ ])")


class Line(NamedTuple):
    """One setting: its keyword in lower case, its words, and `file:line` for messages."""

    keyword: str
    words: tuple[str, ...]
    where: str


def read_lines(path: Path) -> list[Line]:
    """The settings of a file; none if it is missing or may not be read, as with OpenSSH. Raises Usage."""
    try:
        text = path.read_text(encoding="utf-8", errors="surrogateescape")
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return []
    numbered = ((number, content.strip()) for number, content in enumerate(text.splitlines(), 1))
    return [_line(content, f"{path}:{number}") for number, content in numbered if content and content[0] != "#"]


def matches(patterns: Iterable[str], name: str) -> bool:
    """Whether a name fits a list of patterns with `*`, `?` and `!`: a negated one that fits excludes the name."""
    hit = False
    for pattern in patterns:
        if _fits(pattern.removeprefix("!"), name):
            if pattern.startswith("!"):
                return False
            hit = True
    return hit


def not_understood(where: str, what: str, why: str) -> Usage:
    """The error for a line that cannot be followed."""
    return Usage(
        f"{where}: {what}",
        why=why,
        fix="correct the line, or install OpenSSH's client, which fleet then asks instead of reading the file itself",
        example="apt-get install openssh-client",
    )


def _line(content: str, where: str) -> Line:
    split = _LINE.match(content)
    if split is None:
        raise not_understood(where, f"{content!r} is no setting", "a line of ssh_config is a keyword and its value")
    keyword, rest = split[1].lower(), split[2]
    return Line(keyword, (rest,) if keyword in RAW else _words(rest, where), where)


def _words(text: str, where: str) -> tuple[str, ...]:
    """Quotes group, a backslash protects a quote or a space, and a word that begins with `#` ends the line."""
    words, position = [], 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        if text[position] == "#":
            break
        word = ""
        while part := _PART.match(text, position):
            word += _ESCAPE.sub(r"\1", next(group for group in part.groups() if group is not None))
            position = part.end()
        if position < len(text) and not text[position].isspace():
            raise not_understood(where, f"{text!r} has an open quote", "a quote must be closed on its line")
        words.append(word)
    return tuple(words)


def _fits(pattern: str, name: str) -> bool:
    if "*" not in pattern and "?" not in pattern:
        return pattern == name
    expression = "".join({"*": ".*", "?": "."}.get(char, re.escape(char)) for char in pattern)
    return re.fullmatch(expression, name, re.DOTALL) is not None
