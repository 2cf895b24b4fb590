"""The program itself: the table of commands, lazy imports, errors and exit codes."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

import hydra
from hydra import errors
from hydra.cli import application
from hydra.cli.commands import COMMANDS, Entry
from hydra.errors import HydraError

HEAVY = ("torch", "pydantic", "pyarrow", "rich", "numpy", "tokenizers", "yaml", "wandb")


def test_help_lists_every_command_with_its_summary(invoke: Any) -> None:
    result = invoke("--help")
    assert result.code == 0
    for name, entry in COMMANDS.items():
        # a summary that was cut to fit the terminal would end in dots
        assert f"  {name}" in result.out
        assert entry.summary in result.out


@pytest.mark.parametrize("arguments", ["--help", "--version"])
def test_listing_commands_imports_nothing_heavy(arguments: str) -> None:
    """What makes a command line slow is what it imports; the time itself depends on the machine."""
    code = (
        "import sys\nfrom hydra.cli import main\n"
        f"try:\n    main([{arguments!r}])\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = done.stderr.splitlines()[-1].split()
    assert not [name for name in HEAVY if name in modules]
    ours = {name for name in modules if name.startswith("hydra.")}
    assert ours == {"hydra.cli", "hydra.cli.application", "hydra.cli.commands", "hydra.errors"}


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_commands_say(name: str) -> None:
    entry = COMMANDS[name]
    module = importlib.import_module(entry.module)
    told = module.app.info.help if entry.group else inspect.getdoc(module.command)
    assert told.splitlines()[0] == entry.summary


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, invoke: Any) -> None:
    result = invoke(name, "--help")
    assert result.code == 0
    assert f"hydra {name}" in result.out


def test_every_command_of_a_group_has_help(invoke: Any) -> None:
    for group, commands in {"checkpoint": ("list", "verify"), "data": ("build", "show")}.items():
        for command in commands:
            result = invoke(group, command, "--help")
            assert result.code == 0
            assert f"hydra {group} {command}" in result.out


def test_an_unknown_command_is_answered_with_the_nearest(invoke: Any) -> None:
    result = invoke("gnerate")
    assert result.code == 2
    assert "Did you mean 'generate'?" in result.err


def test_without_arguments_the_help_is_shown(invoke: Any) -> None:
    result = invoke()
    assert result.code == 2
    assert "Commands:" in result.out + result.err


def test_version(invoke: Any) -> None:
    assert invoke("--version").out == f"hydra {hydra.__version__}\n"


class Standing:
    """Puts a function in the place of a command, through the same table and loader as the real ones."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, body: Any) -> None:
        module = type(sys)("hydra.cli.pretended")
        module.command = body  # type: ignore[attr-defined] # a module takes any attribute
        self._monkeypatch.setitem(sys.modules, "hydra.cli.pretended", module)
        self._monkeypatch.setitem(COMMANDS, "pretended", Entry("hydra.cli.pretended", "Pretend."))


@pytest.fixture
def stands(monkeypatch: pytest.MonkeyPatch) -> Standing:
    return Standing(monkeypatch)


@pytest.mark.parametrize(
    "kind", [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HydraError)]
)
def test_an_error_is_told_in_its_four_parts_and_gives_its_exit_code(
    kind: type[HydraError], stands: Standing, invoke: Any
) -> None:
    def fail() -> None:
        raise kind("it broke", why="because", fix="mend it", example="mend --now")

    stands(fail)
    result = invoke("pretended")
    assert result.code == kind.exit_code
    assert result.err == f"{kind.__name__}: it broke\n  why: because\n  fix: mend it\n  example: mend --now\n"
    assert result.out == ""


def test_any_other_exception_keeps_its_traceback(stands: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise ZeroDivisionError("a bug")

    stands(fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        application.main(["pretended"])


def test_a_bug_exits_with_1(tmp_path: Path) -> None:
    (tmp_path / "pretended.py").write_text("def command() -> None:\n    raise ZeroDivisionError('a bug')\n")
    code = (
        "import sys\nsys.path.insert(0, sys.argv[1])\nfrom hydra.cli import main\n"
        "from hydra.cli.commands import COMMANDS, Entry\nCOMMANDS['pretended'] = Entry('pretended', '')\n"
        "main(['pretended'])"
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback (most recent call last)" in done.stderr
    assert "ZeroDivisionError: a bug" in done.stderr


def test_an_interrupt_exits_with_130(stands: Standing, invoke: Any) -> None:
    def fail() -> None:
        raise KeyboardInterrupt

    stands(fail)
    assert invoke("pretended").code == 130


def test_a_command_may_choose_its_exit_code(stands: Standing, invoke: Any) -> None:
    def leave() -> None:
        raise typer.Exit(12)

    stands(leave)
    assert invoke("pretended").code == 12


def test_the_installed_program_is_this_one(spawn: Any) -> None:
    assert spawn("--version").out == f"hydra {hydra.__version__}\n"
    assert Path(str(inspect.getsourcefile(application))).parent.name == "cli"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--changed", "training.steps"], "--changed does nothing without --resume"),
        (["--directory", "runs"], "--directory does nothing without --resume"),
        (["--resume", "latest", "--only", "a"], "--only does nothing with --resume"),
    ],
)
def test_an_option_without_effect_is_refused(invoke: Any, arguments: list[str], message: str) -> None:
    result = invoke("train", *arguments)
    assert result.code == 2
    assert message in result.err
