"""Prove that an installed wheel is whole: `check_wheel.py SITE SOURCES`.

Every module and data file of the packages under SOURCES must be in SITE, the folder that the wheel was installed into,
and every module must import from there. An ignore rule or a packaging rule that drops a folder is found here, not by
the first user. Exits 1 with a list of what is missing or does not import.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
import traceback
from pathlib import Path

PACKAGES = ("hydra", "fleet", "perf")
#: Measurements that are kept beside the code and belong to the repository alone.
RECORDS = Path("perf/history")


def files(base: Path) -> set[str]:
    """Every file of the packages below `base`, as paths relative to it."""
    found = [path for package in PACKAGES for path in (base / package).rglob("*") if path.is_file()]
    named = [path.relative_to(base) for path in found if path.suffix != ".pyc"]
    return {path.as_posix() for path in named if not path.is_relative_to(RECORDS)}


def module_name(path: str) -> str:
    """`hydra.data` for hydra/data/__init__.py."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def import_failure(name: str, site: Path) -> str | None:
    """Why the module does not import from `site`, or None. Whatever an import raises is a finding to report."""
    try:
        module = importlib.import_module(name)
    except BaseException:  # noqa: BLE001 - a module that calls sys.exit() on import is broken as well
        return f"{name} does not import:\n{traceback.format_exc()}"
    origin = Path(str(module.__file__)).resolve()
    return None if origin.is_relative_to(site) else f"{name} came from {origin}, not from the wheel"


def help_failure(site: Path) -> str | None:
    """Why `hydra --help` fails when it runs from `site`, or None."""
    code = (
        f"import sys; sys.path.insert(0, {str(site)!r}); sys.argv[1:] = ['--help']; from hydra.cli import main; main()"
    )
    shown = subprocess.run([sys.executable, "-I", "-c", code], check=False, capture_output=True, text=True)
    return f"hydra --help exits {shown.returncode}:\n{shown.stderr}" if shown.returncode else None


def main(site: Path, sources: Path) -> int:
    """Compare, import everything, run the command; print what is wrong and return the exit code."""
    problems = [f"{path} is in the sources and not in the wheel" for path in sorted(files(sources) - files(site))]
    sys.path.insert(0, str(site))
    modules = [path for path in sorted(files(site)) if path.endswith(".py") and not path.endswith("__main__.py")]
    problems += [problem for path in modules if (problem := import_failure(module_name(path), site))]
    problems += [problem for problem in [help_failure(site)] if problem]
    for problem in problems:
        print(problem)
    print(f"{len(modules)} modules of the wheel, {len(problems)} problems")
    return int(bool(problems) or not modules)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve(), Path(sys.argv[2]).resolve()))
