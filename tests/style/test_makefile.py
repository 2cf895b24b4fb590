"""`make` installs once, only what a target needs, and refuses an old Python in words.

The Makefile runs in an empty folder with a stand-in interpreter that records how it was called and, asked for a virtual
environment, puts itself into it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

INTERPRETER = """#!/bin/bash
echo "$@" >> "{log}"
case "$1" in
-c) exit {old} ;;
-m) if [ "$2" = venv ]; then folder="${{@: -1}}"; mkdir -p "$folder/bin"; cp "$0" "$folder/bin/python"; fi ;;
esac
"""


@pytest.fixture
def checkout(tmp_path: Path, root: Path) -> Path:
    """A folder with the Makefile and the two files that decide what is installed."""
    if shutil.which("make") is None:
        pytest.fail("make is not on PATH")
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
        shutil.copy(root / name, tmp_path / name)
    return tmp_path


def interpreter(checkout: Path, *, old: bool = False) -> Path:
    """A stand-in for python3 that writes its arguments to calls.log."""
    path = checkout / "python-stand-in"
    path.write_text(INTERPRETER.format(log=checkout / "calls.log", old=int(old)), encoding="utf-8")
    path.chmod(0o755)
    return path


def make(checkout: Path, *arguments: str, old: bool = False) -> subprocess.CompletedProcess[str]:
    """Run make with the stand-in interpreter."""
    python = f"PYTHON={interpreter(checkout, old=old)}"
    # An outer make's options (-n, -j, a job server) must not reach this one.
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", python, *arguments], cwd=checkout, env=environment, capture_output=True, text=True)


def calls(checkout: Path) -> list[str]:
    """What the stand-in was asked for since the last look."""
    log = checkout / "calls.log"
    lines = log.read_text(encoding="utf-8").splitlines() if log.exists() else []
    log.unlink(missing_ok=True)
    return lines


def installs(lines: list[str]) -> list[str]:
    """The packages that pip was asked to install."""
    return [line.split("constraints.txt ")[-1] for line in lines if line.startswith("-m pip")]


def test_training_installs_the_runtime_set_once(checkout: Path) -> None:
    done = make(checkout, "train", "ARGS=--set training.steps=50")
    assert done.returncode == 0, done.stderr
    first = calls(checkout)
    assert installs(first) == ["setuptools", "--no-build-isolation --config-settings editable_mode=compat --editable ."]
    assert first[-1] == "trainer.py --set training.steps=50"
    make(checkout, "train")
    assert calls(checkout) == ["trainer.py"], "the second run does nothing but train"


def test_the_development_set_covers_the_runtime_set(checkout: Path) -> None:
    make(checkout, "test", "ARGS=-k manifest")
    first = calls(checkout)
    assert installs(first) == [
        "setuptools",
        "--no-build-isolation --config-settings editable_mode=compat --editable .[dev]",
    ]
    assert first[-1] == "-m pytest -q -k manifest"
    make(checkout, "train")
    assert calls(checkout) == ["trainer.py"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_a_changed_requirement_installs_again(checkout: Path, name: str) -> None:
    make(checkout, "install")
    calls(checkout)
    later = time.time() + 5
    os.utime(checkout / name, (later, later))
    make(checkout, "install")
    assert installs(calls(checkout)) == [
        "setuptools",
        "--no-build-isolation --config-settings editable_mode=compat --editable .",
    ]


def test_a_failed_installation_is_tried_again(checkout: Path) -> None:
    make(checkout, "install")
    (checkout / ".venv" / ".runtime").unlink()
    python = checkout / ".venv" / "bin" / "python"
    python.write_text("#!/bin/bash\nexit 1\n", encoding="utf-8")
    assert make(checkout, "install").returncode != 0
    assert not (checkout / ".venv" / ".runtime").exists()


def test_an_old_python_is_refused_in_words(checkout: Path) -> None:
    done = make(checkout, "train", old=True)
    assert done.returncode != 0
    assert "Python 3.11 or newer" in done.stdout
    assert "make train PYTHON=" in done.stdout
    assert not (checkout / ".venv").exists()
