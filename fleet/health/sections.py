"""The text that a probe prints, taken apart: sections of lines, whatever a host or a run put into them.

The script says `=name words` for a section and puts `|` before every line that is not its own, so a line of a file can
neither begin a section nor end one. The answer begins with `fleet-probe 1` (what a login script printed before is
skipped) and is whole only if it ends with `=end`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

HEADER: Final = b"fleet-probe 1"
END: Final = "end"


@dataclass(frozen=True, slots=True)
class Section:
    """One section: its name, the words behind it, the lines of its content without their marks."""

    name: str
    words: tuple[str, ...]
    lines: tuple[str, ...]

    def word(self, number: int) -> str:
        """One of the words, or the empty text."""
        return self.words[number] if number < len(self.words) else ""


@dataclass(frozen=True, slots=True)
class Answer:
    """Everything that a probe said, in order."""

    sections: tuple[Section, ...]
    complete: bool
    """Whether it said all that it had to say. A cut connection and a script that broke leave this false."""

    def find(self, name: str) -> Section:
        """The last section of this name; an empty one if there is none."""
        found = [section for section in self.sections if section.name == name]
        return found[-1] if found else Section(name, (), ())

    def named(self, name: str) -> tuple[Section, ...]:
        """All sections of this name."""
        return tuple(section for section in self.sections if section.name == name)

    def groups(self, head: str, members: frozenset[str]) -> Iterator[tuple[Section, dict[str, Section]]]:
        """Each section `head` with the sections of the given names that follow it without another between."""
        current: tuple[Section, dict[str, Section]] | None = None
        for section in self.sections:
            if section.name == head:
                if current is not None:
                    yield current
                current = (section, {})
            elif current is not None and section.name in members:
                current[1][section.name] = section
            elif current is not None:
                yield current
                current = None
        if current is not None:
            yield current


def parse(data: bytes) -> Answer:
    """Take an answer apart. Never raises: bytes that are no answer are an incomplete one without sections."""
    lines = data.split(b"\n")
    try:
        start = lines.index(HEADER) + 1
    except ValueError:
        return Answer((), complete=False)
    sections: list[tuple[str, tuple[str, ...], list[str]]] = []
    for line in lines[start:]:
        if line.startswith(b"="):
            name, *words = _text(line[1:]).split(" ")
            sections.append((name, tuple(words), []))
            if name == END:
                break
        elif line.startswith(b"|") and sections:
            sections[-1][2].append(_text(line[1:]))
    return Answer(
        tuple(Section(name, words, tuple(content)) for name, words, content in sections),
        complete=bool(sections) and sections[-1][0] == END,
    )


def last_words(out: bytes, err: bytes) -> str:
    """The last line that a probe which broke off said, on stderr or else in its place; empty if it said nothing.

    Where the login's shell refuses to run commands, it says so on stdout, and the probe never begins.
    """
    instead = b"" if HEADER in out.split(b"\n") else out
    said = _text(err).strip().splitlines() or _text(instead).strip().splitlines()
    return said[-1] if said else ""


def _text(line: bytes) -> str:
    return line.decode("utf-8", "replace")
