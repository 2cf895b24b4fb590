"""A test whose program is missing skips with the reason; in continuous integration the skip is a failure.

Each test runs pytest on a small project that has this project's conftest.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# A copy of the sources outside git: the need for git is never met there.
PLANTED = """
import pytest

@pytest.mark.needs("git")
def test_marked(): ...

def test_free(): ...
"""


@pytest.fixture
def project(tmp_path: Path, root: Path) -> Path:
    """A project whose tests declare needs."""
    (tmp_path / "tests").mkdir()
    shutil.copy(root / "tests" / "conftest.py", tmp_path / "tests" / "conftest.py")
    markers = re.search(r"^markers = \[.*?^\]", (root / "pyproject.toml").read_text(encoding="utf-8"), re.M | re.S)
    assert markers
    (tmp_path / "pyproject.toml").write_text(f"[tool.pytest.ini_options]\n{markers[0]}\n", encoding="utf-8")
    (tmp_path / "tests" / "test_planted.py").write_text(PLANTED, encoding="utf-8")
    return tmp_path


def run_tests(project: Path, *options: str) -> str:
    """What pytest prints about the planted project."""
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", *options, "tests"]
    return subprocess.run(command, cwd=project, capture_output=True, text=True).stdout


def test_a_missing_program_skips_with_its_reason(project: Path) -> None:
    shown = run_tests(project)
    assert "1 passed, 1 skipped" in shown
    assert "not a git checkout" in shown


def test_ci_turns_the_skip_into_a_failure(project: Path) -> None:
    shown = run_tests(project, "--require-everything")
    assert "1 passed, 1 error" in shown
    assert "not a git checkout" in shown


def test_ci_accepts_no_other_skip_either(project: Path) -> None:
    planted = "import pytest\npytest.importorskip('no_such_package_anywhere')\ndef test_never(): ...\n"
    (project / "tests" / "test_planted.py").write_text(planted, encoding="utf-8")
    assert "1 skipped" in run_tests(project)
    assert "1 error" in run_tests(project, "--require-everything")
    planted = "import pytest\n@pytest.mark.xfail(strict=True)\ndef test_known(): assert False\n"
    (project / "tests" / "test_planted.py").write_text(planted, encoding="utf-8")
    assert "1 xfailed" in run_tests(project, "--require-everything")


def test_an_unknown_need_is_an_error(project: Path) -> None:
    (project / "tests" / "test_planted.py").write_text(PLANTED.replace('"git"', '"gti"'), encoding="utf-8")
    assert "1 passed" not in run_tests(project)


def test_gpu_tests_are_left_out_with_the_reason(project: Path) -> None:
    (project / "tests" / "gpu").mkdir()
    planted = "import torch\ndef test_on_gpu(): assert torch.cuda.is_available()\n"
    (project / "tests" / "gpu" / "test_planted_gpu.py").write_text(planted, encoding="utf-8")
    shown = run_tests(project, "-k", "free or gpu")
    assert "1 GPU tests left out: no CUDA device" in shown or "2 passed" in shown
