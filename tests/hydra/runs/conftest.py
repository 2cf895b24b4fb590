"""Fixtures for run directories: one that exists, and other processes that use it and can be killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hydra.runs import RunDirectory

Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "runs", "test")


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start Python code in a process of its own; what still runs at the end of the test is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.fixture
def spoken() -> Callable[[subprocess.Popen[str]], str]:
    """The next line that a process prints."""

    def read(process: subprocess.Popen[str]) -> str:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the process ended with {process.wait()} and said nothing"
        return line.strip()

    return read


@pytest.fixture
def kill() -> Callable[[subprocess.Popen[str]], str]:
    """Kill a process as a power switch would, and return what it had printed."""

    def end(process: subprocess.Popen[str]) -> str:
        os.kill(process.pid, signal.SIGKILL)
        return process.communicate()[0]

    return end
