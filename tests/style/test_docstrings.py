"""Every module, public class and public function says what it is: the sources are meant to teach."""

from __future__ import annotations

import ast
from collections.abc import Callable


def undocumented(source) -> list[str]:
    """What in this source has no docstring: the module, a public class, a public function."""
    tree = source.tree
    missing = [] if ast.get_docstring(tree) else ["the module"]
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_") and not ast.get_docstring(node):
            missing.append(f"class {node.name}, line {node.lineno}")
    for node in tree.body:
        public = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_")
        if public and not ast.get_docstring(node):
            missing.append(f"{node.name}(), line {node.lineno}")
    return missing


def one_line(source) -> bool:
    """A room's docstring that says what it is, but not why it exists."""
    docstring = ast.get_docstring(source.tree) or ""
    return len([line for line in docstring.splitlines() if line.strip()]) < 2


def test_everything_public_is_documented(package_sources) -> None:
    missing = [f"{source.path}: {what}" for source in package_sources for what in undocumented(source)]
    assert not missing, "these have no docstring:\n" + "\n".join(missing)


def test_every_room_says_what_it_is_and_why(package_sources) -> None:
    rooms = [
        source for source in package_sources if source.path.count("/") == 2 and source.path.endswith("__init__.py")
    ]
    assert rooms
    short = [source.path for source in rooms if one_line(source)]
    assert not short, "a room's docstring has two lines, what it is and why it exists:\n" + "\n".join(short)


def test_the_rules_catch_offenders(source_type: Callable) -> None:
    source = source_type("a.py", "class A:\n    x = 1\ndef f(): ...\ndef _g(): ...\nclass _B: ...\n")
    assert undocumented(source) == ["the module", "class A, line 1", "f(), line 3"]
    assert one_line(source_type("a.py", '"""Only what it is."""\n'))
    assert not one_line(source_type("a.py", '"""What it is,\n\nand why."""\n'))
