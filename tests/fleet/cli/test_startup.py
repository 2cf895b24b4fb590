"""What commands import: the common ones start at once, because nothing heavy is loaded on their way."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import typer

from fleet.cli.application import application
from fleet.cli.conversion import PLACE
from tests.fleet.cli.site import Site
from tests.fleet.commands import ROOT

LOADED = """
import atexit, json, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
from fleet.cli import main
main(sys.argv[1:])
"""
ALWAYS = {"torch", "fabric", "fastapi", "uvicorn", "wandb", "hydra.training"}
SCHEMA = {"pydantic", "hydra.manifest.root"}


def modules(*argv: str) -> set[str]:
    """What a process has loaded when it has carried out a command."""
    done = subprocess.run([sys.executable, "-c", LOADED, *argv], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done
    return set(json.loads(done.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    ("argv", "not_loaded"),
    [
        (["--help"], ALWAYS | SCHEMA | {"paramiko", "rich", "yaml", "fleet.control.session", "fleet.inventory"}),
        (["deploy", "--help"], ALWAYS | SCHEMA | {"paramiko", "rich", "yaml"}),
        (["--version"], ALWAYS | SCHEMA | {"paramiko", "rich", "yaml"}),
        (["deploy", "h0"], ALWAYS | SCHEMA | {"rich", "yaml", "hydra.manifest.flow"}),
        (["deploy", "h0", "--json", "--max-size", "100"], ALWAYS | SCHEMA | {"rich", "yaml"}),
        (["status", "h0", "--json"], ALWAYS | SCHEMA | {"rich", "yaml"}),
        (["status", "h0", "--timeout", "20", "--jobs", "4"], ALWAYS | SCHEMA | {"yaml"}),
        (["logs", "h0", "-n", "3"], ALWAYS | SCHEMA | {"rich"}),
        (["setup", "h0"], ALWAYS | SCHEMA | {"rich"}),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_is_not_needed_is_not_loaded(site: Site, argv: list[str], not_loaded: set[str]) -> None:
    site.fleet("status", "h0")
    assert modules("--config", str(site.config), *argv) & not_loaded == set()


def test_typer_keeps_its_converters_where_ours_are_put() -> None:
    """Should typer rename that place, commands still work, but each would load pydantic."""
    options = [one for one in typer.main.get_command(application()).params if one.name in ("timeout", "jobs", "config")]
    assert len(options) == 3
    assert all(getattr(option, PLACE, "absent") is None for option in options)
