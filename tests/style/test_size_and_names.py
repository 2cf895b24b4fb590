"""Files stay small enough to read in one sitting, and their names say what is inside."""

from __future__ import annotations

import re
from collections.abc import Callable

LIMIT = 300
REASON = re.compile(r"over 300 lines: \S+ \S+")
# Names that gather what nobody found a place for.
VAGUE = re.compile(r"(^|_)(utils?|helpers?|common|misc|managers?|new)(_|$)")
VAGUE_CLASS = re.compile(r"(Utils?|Helpers?|Manager|Misc|Common)(?=$|[A-Z])")


def too_long(source) -> bool:
    """Over the limit without a line `over 300 lines: <reason>` among the first 15."""
    lines = source.text.splitlines()
    return len(lines) > LIMIT and not any(REASON.search(line) for line in lines[:15])


def vague_names(source) -> list[str]:
    """File, folder and class names of this source that say nothing."""
    parts = source.path.removesuffix(".py").split("/")
    names = [part for part in parts if VAGUE.search(part)]
    return names + [name for name in re.findall(r"^class (\w+)", source.text, re.M) if VAGUE_CLASS.search(name)]


def test_files_stay_under_300_lines(all_sources) -> None:
    long = [f"{source.path}: {len(source.text.splitlines())} lines" for source in all_sources if too_long(source)]
    assert not long, "split these, or state the reason at the top:\n" + "\n".join(long)


def test_names_say_what_is_inside(all_sources) -> None:
    vague = [f"{source.path}: {name}" for source in all_sources for name in vague_names(source)]
    assert not vague, "name these after what they hold:\n" + "\n".join(vague)


def test_the_rules_catch_offenders(source_type: Callable) -> None:
    body = "x = 1\n" * (LIMIT + 1)
    assert too_long(source_type("a.py", body))
    assert not too_long(source_type("a.py", "# over 300 lines: a vendored table.\n" + body))
    assert too_long(source_type("a.py", "x = 1\n" * 20 + "# over 300 lines: said too late\n" + body))
    assert vague_names(source_type("hydra/data/text_utils.py", "class RunManager:\n    ...\n")) == [
        "text_utils",
        "RunManager",
    ]
    assert not vague_names(source_type("hydra/data/renewal.py", "class Commonwealth:\n    ...\n"))
