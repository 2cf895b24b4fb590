"""Puts packages into an environment: the virtual environment itself, then pip or uv with exactly what is pinned.

Nothing is built from source: a source distribution runs code of whoever wrote it and fetches build tools that nobody
pinned, and hosts seldom have compilers.
"""

from __future__ import annotations

import glob
import os
import shutil
import venv
from typing import Any

from fleet.remote.env_process import Installer, Refused
from fleet.remote.env_requirements import constraints_for_reuse, for_reuse

_PIP_OPTIONS = ["--disable-pip-version-check", "--no-input", "--no-color"]
_INSTALL = ["install", "--only-binary=:all:", "--no-warn-script-location", "--progress-bar=off"]
#: Neither settings of the host nor an index: pip answers only whether everything is there.
_NOTHING_ELSE = ["env", "PIP_CONFIG_FILE=/dev/null"]


def make_venv(folder: str, base: dict[str, Any], reuse: bool) -> None:
    """Make an empty environment on the running interpreter; with `reuse` it sees that interpreter's packages.

    An environment that is made from another environment's Python sees the packages of the Python below both, not those
    of the other environment, so that one's folders are added by a .pth file. Their own .pth files are followed too.
    """
    builder = venv.EnvBuilder(system_site_packages=reuse and base["system_site"], symlinks=True, with_pip=False)
    builder.create(folder)
    if reuse and base["site"]:
        lines = [f"import site; site.addsitedir({entry!r})\n" for entry in base["site"]]
        with open(os.path.join(own_site(folder), "_fleet_base.pth"), "w", encoding="utf-8") as file:
            file.writelines(lines)


def own_site(folder: str) -> str:
    """The folder of an environment's own packages."""
    return glob.glob(os.path.join(folder, "lib", "python*", "site-packages"))[0]


def pip_of(folder: str, base: dict[str, Any], installer: Installer) -> list[str]:
    """The command that is pip for this environment: the base interpreter's pip, else one put into the environment.

    pip's runner makes pip alone importable, so the base interpreter's other packages do not count as installed.
    """
    python = os.path.join(folder, "bin", "python")
    runners = [os.path.join(base["pip"], "__pip-runner__.py")] if base["pip"] else []
    if not any(os.path.exists(runner) for runner in runners):
        if not base["ensurepip"]:
            raise Refused(
                "remote",
                f"{base['executable']} can install nothing: it has neither pip 22.3 or newer nor ensurepip",
                "a pip environment needs one of them",
                "choose another interpreter, for example a conda one, or make uv available",
            )
        status = installer.run([python, "-E", "-m", "ensurepip"], folder)
        runners = glob.glob(os.path.join(own_site(folder), "pip", "__pip-runner__.py"))
        if status or not runners:
            raise failed(installer, "pip could not be put into the environment", status)
    return [python, "-E", runners[0], *_PIP_OPTIONS]


def install(folder: str, request: dict[str, Any], root: str, installer: Installer) -> None:
    """Install what the request asks for. Raises Refused with the installer's own words."""
    if request["mode"] == "uv":
        _with_uv(folder, request, root, installer)
        return
    inputs = os.path.join(folder, ".fleet")
    os.mkdir(inputs)
    pip = pip_of(folder, request["base"], installer)
    cache = os.path.join(root, "envs", ".cache", "pip")
    if request["wheels"] is not None:
        if request["wheels"]:
            _run_pip([*pip, *_from_wheels(inputs, request["wheels"], root)], folder, installer)
        shutil.rmtree(os.path.join(inputs, "wheels"), ignore_errors=True)
        return
    arguments = _arguments(inputs, request, root)
    if request["mode"] == "reuse":
        installer.note("is anything missing? no index is asked")
        asked = [*pip, "--isolated", "install", "--no-index", *arguments]
        if installer.ask([*_NOTHING_ELSE, *asked], folder) == 0:
            installer.note("nothing is missing")
            return
    _run_pip([*pip, "--cache-dir", cache, *_INSTALL, *arguments], folder, installer)


def _with_uv(folder: str, request: dict[str, Any], root: str, installer: Installer) -> None:
    cache = os.path.join(root, "envs", ".cache", "uv")
    release = os.path.join(root, "releases", request["release"])
    extras = [part for extra in request["extras"] for part in ("--extra", extra)]
    # The project itself is not installed: it runs from the release, whose folder is on the path.
    asked = ["sync", "--frozen", "--no-install-project", "--no-dev", "--no-build", "--no-python-downloads", *extras]
    where = ["--python", request["base"]["executable"], "--project", release, "--cache-dir", cache, "--color", "never"]
    command = ["env", "UV_PROJECT_ENVIRONMENT=" + folder, request["uv"], *asked, *where]
    status = installer.run(command, release)
    if status:
        raise failed(installer, "uv could not make the environment", status)


def _run_pip(command: list[str], folder: str, installer: Installer) -> None:
    status = installer.run(command, folder)
    if status:
        raise failed(installer, "pip could not install what is pinned", status)


def _arguments(inputs: str, request: dict[str, Any], root: str) -> list[str]:
    """Requirement files for pip, written beside the packages as a record of what was asked."""
    release, present = os.path.join(root, "releases", request["release"]), request["base"]["packages"]
    reuse = request["mode"] == "reuse"
    if request["lock"] == "hashed":
        text = _read(os.path.join(release, "requirements.lock"))
        wanted = _write(inputs, "requirements.txt", for_reuse(text, present) if reuse else text)
        return ["--require-hashes", "-r", wanted]
    text = _read(os.path.join(release, "constraints.txt"))
    pins = _write(inputs, "constraints.txt", constraints_for_reuse(text, present) if reuse else text)
    lines = "".join(line + "\n" for line in request["requirements"])
    wanted = _write(inputs, "requirements.txt", for_reuse(lines, present) if reuse else lines)
    return ["-r", wanted, "-c", pins]


def _from_wheels(inputs: str, wheels: list[dict[str, str]], root: str) -> list[str]:
    """Show the wheels that were sent under their own names; pip compares each with its digest again."""
    shelf = os.path.join(inputs, "wheels")
    os.mkdir(shelf)
    for wheel in wheels:
        os.symlink(os.path.join(root, "wheels", "sha256", wheel["sha256"]), os.path.join(shelf, wheel["file"]))
    lines = ["{name}=={version} --hash=sha256:{sha256}\n".format(**wheel) for wheel in wheels]
    wanted = _write(inputs, "requirements.txt", "".join(lines))
    return [
        *_INSTALL,
        "--no-index",
        "--no-deps",
        "--no-cache-dir",
        "--find-links",
        shelf,
        "--require-hashes",
        "-r",
        wanted,
    ]


def failed(installer: Installer, what: str, status: int) -> Refused:
    """The refusal for an installer that failed, in its own last words."""
    lines = list(installer.tail)
    first = next((number for number, line in enumerate(lines) if line.lower().startswith("error")), -1)
    said = lines[first:][:5]
    full = any(words in line for line in lines for words in ("No space left", "Disk quota exceeded", "File too large"))
    fix = "free space there, or remove old environments: fleet prune" if full else "read the build log on the host"
    return Refused("remote", f"{what} (status {status})", " | ".join(said) or "it said nothing", fix)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path
