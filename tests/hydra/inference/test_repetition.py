"""The flag for text that circles in itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest

from hydra.inference import repetitive


def decode(ids: Sequence[int]) -> str:
    return bytes(ids).decode(errors="replace")


def flag(text: str) -> bool:
    return repetitive(list(text.encode()), decode)


PROSE = "In the beginning there was a trainer, and it could not resume; so somebody sat down and wrote a better one."


@pytest.mark.parametrize(
    "text",
    [
        "x" + "a" * 17 + "y",
        "0" * 17,
        "ab" * 32,
        PROSE + " and again" * 8,
        "the cat sat on the mat. " * 4 + PROSE,
        "x".join("abc") * 40,
        "\n" * 64,
        "-" * 64,
    ],
)
def test_loops_are_flagged(text: str) -> None:
    assert flag(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a" * 16,
        "ha" * 10,
        PROSE,
        "def f():\n" + " " * 40 + "pass",
        "# " + "-" * 60 + "\n" + PROSE,
        "the cat sat on the mat. " * 3 + PROSE,
        "ab" * 31,
    ],
)
def test_ordinary_text_is_not(text: str) -> None:
    assert not flag(text)


def test_few_different_tokens_without_a_period() -> None:
    generator = random.Random(0)
    assert flag("".join(generator.choice("abcdefg") for _ in range(64)))
    assert not flag("".join(generator.choice("abcdefg") for _ in range(63)))
    assert not flag("".join(generator.choice("abcdefgh") for _ in range(64)))


def test_python_sources_are_rarely_flagged() -> None:
    source = Path(random.__file__).read_text()
    pieces = [source[at : at + 400] for at in range(0, len(source) - 400, 400)]
    assert sum(flag(piece) for piece in pieces) <= len(pieces) // 20
