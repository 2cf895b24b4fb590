"""Output that has nowhere to go: a full disk, or a stream that the caller closed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fleet.cli.site import Site
from tests.fleet.commands import ROOT

FULL = Path("/dev/full")
NO_SPACE = "fleet: output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        (["--help"], 8),
        (["deploy", "--help"], 8),
        (["--version"], 8),
        (["config", "schema", "--outputs"], 8),
        (["config", "example", "--json"], 8),
        (["nothing", "--json"], 8),
        (["runs", "h0"], 8),
        (["runs", "h0", "--json"], 8),
        (["logs", "h0"], 8),
        (["logs", "h0", "--json"], 8),
        # Here the table's codes are the remote command's, and 255 is ours.
        (["run", "h0", "--", "echo", "said"], 255),
        (["run", "h0", "--json", "--", "true"], 255),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_a_full_disk_is_one_plain_line(site: Site, argv: list[str], code: int) -> None:
    with FULL.open("w") as full:
        done = site.fleet.run(*argv, stdout=full, expect=code)
    said = done.err.splitlines(keepends=True)
    assert [line for line in said if "cannot be written" in line] == [NO_SPACE]
    assert "Traceback" not in done.err and "bug" not in done.err and "Exception" not in done.err


def test_a_bug_is_told_on_a_full_disk_too(site: Site) -> None:
    broken = (
        "import sys\nfrom fleet.cli import main, status\n"
        "def broken(*_, **__): raise ZeroDivisionError('never expected')\n"
        "status.status = broken\nmain(sys.argv[1:])\n"
    )
    with FULL.open("w") as full:
        done = _program(broken, "--config", str(site.config), "status", "h0", "--json", stdout=full)
    assert done.returncode == 1
    assert done.stderr.startswith("a bug in fleet: ZeroDivisionError") and "Traceback" not in done.stderr


def test_remarks_that_cannot_be_written_hinder_nothing(site: Site) -> None:
    with FULL.open("w") as full:
        done = site.fleet.run("setup", "h0", stderr=full)
        assert "ready" in done.out
        said = site.fleet.run("deploy", "offline", "--json", stderr=full, expect=3)
    assert json.loads(said.out)["errors"][0]["code"] == 3


#: Closes a descriptor, then becomes the command line.
CLOSING = "import os, sys\nos.close(int(sys.argv.pop(1)))\nos.execv(sys.executable, [sys.executable, *sys.argv[1:]])"


@pytest.mark.parametrize("closed", [1, 2], ids=["stdout", "stderr"])
def test_what_is_closed_takes_nothing_and_the_command_is_done(site: Site, closed: int) -> None:
    argv = ["--config", str(site.config), "deploy", "h0", "--json"]
    done = _program(CLOSING, str(closed), "-m", "fleet.cli", *argv, stdout=subprocess.PIPE)
    assert done.returncode == 0 and done.stderr == ""
    if closed == 2:
        assert json.loads(done.stdout)["ok"]
    else:
        assert done.stdout == ""
    help_ = _program(CLOSING, str(closed), "-m", "fleet.cli", "--help", stdout=subprocess.PIPE)
    assert help_.returncode == 0 and help_.stderr == ""


def test_an_input_that_is_closed_has_ended(site: Site) -> None:
    fleet = (CLOSING, "0", "-m", "fleet.cli", "--config", str(site.config))
    done = _program(*fleet, "run", "h0", "--stdin", "--", "cat", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    asked = _program(*fleet, "stop", "h0", "--kill", stdout=subprocess.PIPE)
    assert asked.returncode == 2 and "--yes" in asked.stderr, "nobody is there to say yes"


def _program(text: str, *argv: str, **options: object) -> subprocess.CompletedProcess[str]:
    """A program of Python text, as a process of its own."""
    given = {"cwd": ROOT, "stderr": subprocess.PIPE, "text": True, "timeout": 60, "env": dict(os.environ), **options}
    return subprocess.run([sys.executable, "-c", text, *argv], check=False, **given)  # type: ignore[call-overload]
