"""Nothing is swallowed and nothing is left for later: no catch-all handlers, no empty handlers, no reminders."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable

import pytest

# Spelled in halves, or this file would report itself.
REMINDER = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "HA" + "CK", "XX" + "X")) + r")\b")


def names(node: ast.expr | None) -> list[str]:
    """The exception names that a handler or a call lists."""
    if node is None:
        return []
    return [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]


def handler_offence(node: ast.ExceptHandler) -> str | None:
    """What is wrong with this handler: it takes everything, or it does nothing."""
    if node.type is None:
        return "bare except"
    if "Exception" in names(node.type):
        return "except Exception"
    last = node.body[-1]
    if "BaseException" in names(node.type) and not (isinstance(last, ast.Raise) and last.exc is None):
        return "except BaseException that does not raise again"
    idle = all(isinstance(step, ast.Pass) or is_constant(step) for step in node.body)
    return "a handler that does nothing" if idle else None


def is_constant(step: ast.stmt) -> bool:
    """A statement like `...` or a loose string."""
    return isinstance(step, ast.Expr) and isinstance(step.value, ast.Constant)


def swallowed(source) -> list[str]:
    """Every handler of this source that hides failures."""
    found = []
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ExceptHandler) and (offence := handler_offence(node)):
            found.append(f"{source.path}:{node.lineno}: {offence}")
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) == "suppress":
            caught = {name for argument in node.args for name in names(argument)}
            if caught & {"Exception", "BaseException"}:
                found.append(f"{source.path}:{node.lineno}: suppresses everything")
    return found


def test_no_failure_is_swallowed(package_sources) -> None:
    found = [offence for source in package_sources for offence in swallowed(source)]
    assert not found, "\n".join(found)


def test_nothing_is_left_for_later(all_sources) -> None:
    found = [
        f"{source.path}:{number}: {line.strip()}"
        for source in all_sources
        for number, line in enumerate(source.text.splitlines(), 1)
        if REMINDER.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    ("handler", "offence"),
    [
        ("except:\n    raise", "bare except"),
        ("except Exception as error:\n    print(error)", "except Exception"),
        ("except (OSError, Exception):\n    print()", "except Exception"),
        ("except BaseException:\n    print()", "except BaseException that does not raise again"),
        ("except OSError:\n    pass", "a handler that does nothing"),
        ("except OSError:\n    ...", "a handler that does nothing"),
    ],
)
def test_a_bad_handler_is_caught(source_type: Callable, handler: str, offence: str) -> None:
    [found] = swallowed(source_type("a.py", f"try:\n    f()\n{handler}\n"))
    assert found.endswith(offence)


def test_good_handlers_pass(source_type: Callable) -> None:
    text = "try:\n    f()\nexcept OSError:\n    x = 1\nexcept BaseException:\n    g()\n    raise\n"
    assert not swallowed(source_type("a.py", text))
    assert swallowed(source_type("a.py", "with contextlib.suppress(Exception):\n    f()\n"))
    assert not swallowed(source_type("a.py", "with contextlib.suppress(FileNotFoundError):\n    f()\n"))
    assert REMINDER.search("# TO" + "DO: later") and not REMINDER.search("to do")
