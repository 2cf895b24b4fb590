"""What a test may ask of the machine, and what happens when the machine lacks it.

A test says `@pytest.mark.needs("sshd")`, or takes the `sshd` or `chromium` fixture to get the program's path too. On a
user's machine a missing program skips the test and says why. Under `--require-everything` (continuous integration,
which installs all of it) every skip, whatever its reason, is a failure, so that no test can quietly stop running.

Tests under tests/gpu, and those that say `needs("gpu")`, need a CUDA device. Where there is none they are imported, so
that they cannot rot, then left out, and the summary says so.
"""

from __future__ import annotations

import importlib
import shutil
import subprocess
from collections.abc import Callable, Generator
from pathlib import Path

import pytest
from hypothesis import settings

from hydra.training.signals import Requests
from hydra.training.waiting import spin_briefly

# Before anything imports distutils: torch's compiler imports setuptools, which refuses to start beside Python's own.
importlib.import_module("setuptools")
# Tests share their machine with the processes that they start.
spin_briefly()
ROOT = Path(__file__).resolve().parent.parent
# Time limits per example would make results depend on how busy the machine is.
settings.register_profile("hydra", deadline=None, print_blob=True)
settings.load_profile("hydra")
LEFT_OUT = pytest.StashKey[str]()


def find_program(*names: str) -> Path | None:
    """The first of these programs on PATH or where systems keep their daemons."""
    for name in names:
        found = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
        if found:
            return Path(found)
    return None


def find_sshd() -> Path | None:
    """The OpenSSH server, which fleet's tests start on a loopback port."""
    return find_program("sshd")


def find_chromium() -> Path | None:
    """A browser of the Chromium family, which looks at the pages that Hydra makes."""
    return find_program("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def missing_sshd() -> str | None:
    """Why there is no SSH server here, or None."""
    return None if find_sshd() else "no sshd on this machine (Debian and Ubuntu: apt-get install openssh-server)"


def missing_chromium() -> str | None:
    """Why there is no browser here, or None."""
    return None if find_chromium() else "no Chromium or Chrome on this machine (Debian: apt-get install chromium)"


def missing_git() -> str | None:
    """Why git cannot be asked about this tree, or None."""
    if find_program("git") is None:
        return "no git on this machine"
    asked = subprocess.run(["git", "-C", ROOT, "rev-parse", "--show-toplevel"], capture_output=True, text=True)
    inside = asked.returncode == 0 and Path(asked.stdout.strip()).resolve() == ROOT
    return None if inside else "this copy of the sources is not a git checkout"


def missing_gpu() -> str | None:
    """Why nothing can run on a GPU here, or None. Imports torch, so it is asked only when a test needs the answer."""
    import torch

    return None if torch.cuda.is_available() else "no CUDA device on this machine"


def missing_namespaces() -> str | None:
    """Why no network namespaces can be made here, or None."""
    from tests.farm.namespaces import missing_namespaces as missing

    return missing()


NEEDS: dict[str, Callable[[], str | None]] = {
    "sshd": missing_sshd,
    "chromium": missing_chromium,
    "git": missing_git,
    "gpu": missing_gpu,
    "netns": missing_namespaces,
}


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --require-everything."""
    parser.addoption(
        "--require-everything",
        action="store_true",
        help="a skipped test is a failure (continuous integration, where everything is installed)",
    )


def require(name: str) -> None:
    """Skip the running test when the machine lacks what `name` stands for."""
    if reason := NEEDS[name]():
        pytest.skip(reason)


def asked_for(item: pytest.Item) -> list[str]:
    """Everything that the `needs` marks of a test name."""
    return [name for mark in item.iter_markers("needs") for name in mark.args or ("nothing",)]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Check what every test asks for, then leave the GPU tests out where there is no GPU."""
    on_gpu = []
    for item in items:
        if unknown := sorted(set(asked_for(item)) - set(NEEDS)):
            raise pytest.UsageError(f"{item.nodeid} needs {unknown}; known are {sorted(NEEDS)}")
        if item.path.is_relative_to(ROOT / "tests" / "gpu") or "gpu" in asked_for(item):
            on_gpu.append(item)
    reason = missing_gpu() if on_gpu else None
    if reason is not None:
        config.hook.pytest_deselected(items=on_gpu)
        items[:] = [item for item in items if item not in on_gpu]
        config.stash[LEFT_OUT] = f"{len(on_gpu)} GPU tests left out: {reason}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Hold every `needs` mark against the machine before the test starts."""
    for name in asked_for(item):
        require(name)


def refuse_skip(report: pytest.TestReport | pytest.CollectReport, config: pytest.Config) -> None:
    """Under --require-everything, turn a report of a skip into one of a failure; expected failures stay."""
    if config.getoption("--require-everything") and report.skipped and not hasattr(report, "wasxfail"):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        report.outcome = "failed"
        report.longrepr = f"--require-everything allows no skip: {reason}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Refuse skipped tests in continuous integration."""
    report = yield
    refuse_skip(report, item.config)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Refuse skipped test modules in continuous integration."""
    report = yield
    refuse_skip(report, collector.config)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Say which tests did not run and why."""
    if LEFT_OUT in config.stash:
        terminalreporter.write_line(config.stash[LEFT_OUT])


@pytest.fixture
def sshd() -> Path:
    """The path of sshd; skips or fails like `needs("sshd")`."""
    require("sshd")
    found = find_sshd()
    assert found is not None
    return found


@pytest.fixture
def chromium() -> Path:
    """The path of a Chromium browser; skips or fails like `needs("chromium")`."""
    require("chromium")
    found = find_chromium()
    assert found is not None
    return found


@pytest.fixture(scope="session")
def root() -> Path:
    """The root of the source tree."""
    return ROOT


class StopAfter(Requests):
    """A request to stop that arrives in the middle of a step, as a signal would."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self._left = step

    def take_save(self) -> bool:
        """Called once before the first step and once at the end of each; the request is seen at the next look."""
        self._left -= 1
        if self._left <= 0:
            self.stop = "SIGTERM"
        return super().take_save()


@pytest.fixture
def stop_after() -> type[StopAfter]:
    """Makes requests that stop a run after so many steps."""
    return StopAfter
