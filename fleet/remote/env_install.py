"""Puts packages into an environment: the virtual environment itself, then pip or uv with exactly what is pinned.

Nothing is built from source: a source distribution runs code of whoever wrote it and fetches build tools that nobody
pinned, and hosts seldom have compilers.
"""

from __future__ import annotations

import glob
import importlib.util
import os
import re
import shutil
import sysconfig
from typing import Any

from fleet.remote.env_process import Installer, Refused
from fleet.remote.env_requirements import canonical, constraints_for_reuse, for_reuse, logical_lines, name_of

_PIP_OPTIONS = ["--disable-pip-version-check", "--no-input", "--no-color"]
_INSTALL = ["install", "--only-binary=:all:", "--no-warn-script-location", "--progress-bar=off"]
#: Inside pip 22.3 and newer; it makes pip alone importable.
_RUNNER = "__pip-runner__.py"
#: What installers say when there is no room, and when there is no way to the index.
_FULL = ("No space left", "Disk quota exceeded", "File too large")
_UNREACHABLE = ("after connection broken", "Could not fetch URL", "Failed to fetch", "name resolution")
#: Neither settings of the host nor an index: pip answers only whether everything is there.
_NOTHING_ELSE = ["env", "PIP_CONFIG_FILE=/dev/null"]


def make_venv(folder: str, base: dict[str, Any], reuse: bool) -> None:
    """Make an empty environment on the running interpreter; with `reuse` it sees that interpreter's packages.

    An environment that is made from another environment's Python sees the packages of the Python below both, not those
    of the other environment, so that one's folders are added by a .pth file. Their own .pth files are followed too.
    """
    import venv

    builder = venv.EnvBuilder(system_site_packages=reuse and base["system_site"], symlinks=True, with_pip=False)
    builder.create(folder)
    if reuse and base["site"]:
        lines = [f"import site; site.addsitedir({entry!r})\n" for entry in base["site"]]
        with open(os.path.join(own_site(folder), "_fleet_base.pth"), "w", encoding="utf-8") as file:
            file.writelines(lines)


def own_site(folder: str) -> str:
    """The folder of an environment's own packages."""
    return glob.glob(os.path.join(folder, "lib", "python*", "site-packages"))[0]


def pip_of(folder: str, base: dict[str, Any], sent: str | None, installer: Installer) -> list[str]:
    """The command that is pip for this environment: the base interpreter's, else that of a wheel, here or sent.

    Through its runner the base interpreter's other packages do not count as installed.
    """
    python = os.path.join(folder, "bin", "python")
    home = base["pip"] or ""
    if not os.path.exists(os.path.join(home, _RUNNER)):
        bundled = bundled_pip() or sent
        if bundled is None:
            raise Refused(
                "remote",
                f"{base['executable']} can install nothing: it has neither pip 22.3 or newer nor ensurepip",
                "a pip environment needs one of them",
                "choose another interpreter, for example a conda one, or make uv available",
            )
        installer.note("the interpreter has no pip of its own: unpacking " + bundled)
        tool = os.path.join(folder, ".fleet", "pip")
        import zipfile

        with zipfile.ZipFile(bundled) as wheel:
            wheel.extractall(tool)
        home = os.path.join(tool, "pip")
    return [python, "-E", os.path.join(home, _RUNNER), *_PIP_OPTIONS]


def bundled_pip() -> str | None:
    """The wheel of pip that came with this Python for making environments; distributions may keep it elsewhere."""
    spec = importlib.util.find_spec("ensurepip")
    places = [sysconfig.get_config_var("WHEEL_PKG_DIR") or ""]
    places += [os.path.join(os.path.dirname(spec.origin), "_bundled")] if spec is not None and spec.origin else []
    found = [path for place in places if place for path in sorted(glob.glob(os.path.join(place, "pip-*.whl")))]
    return found[-1] if found else None


def install(folder: str, request: dict[str, Any], root: str, installer: Installer) -> None:
    """Install what the request asks for. Raises Refused with the installer's own words."""
    if request["mode"] == "uv":
        _with_uv(folder, request, root, installer)
        return
    inputs = os.path.join(folder, ".fleet")
    os.mkdir(inputs)
    pip = pip_of(folder, request["base"], request["pip"], installer)
    cache = os.path.join(root, "envs", ".cache", "pip")
    if request["wheels"] is not None:
        if request["wheels"]:
            _run_pip([*pip, *_from_wheels(inputs, request["wheels"], root)], folder, installer)
        shutil.rmtree(os.path.join(inputs, "wheels"), ignore_errors=True)
        return
    arguments = _arguments(inputs, request, root)
    if request["mode"] == "reuse" and not surely_missing(arguments, request["base"]["packages"]):
        installer.note("is anything missing? no index is asked")
        asked = [*pip, "--isolated", "install", "--no-index", *arguments]
        if installer.ask([*_NOTHING_ELSE, *asked], folder) == 0:
            installer.note("nothing is missing")
            return
    _run_pip([*pip, "--cache-dir", cache, *_INSTALL, *arguments], folder, installer)


def surely_missing(arguments: list[str], present: dict[str, str]) -> list[str]:
    """Requirements that are not there at the version of their pin, so that pip need not be asked: it takes a second.

    Those with markers are left to pip, and so are the needs of what is there.
    """
    wanted, pinned = arguments[arguments.index("-r") + 1], arguments[-1]
    found = [re.match(r"([\w.-]+)\s*==\s*([^\s;]+)", line) for _, line in logical_lines(_read(pinned))]
    pins = {canonical(pin.group(1)): pin.group(2) for pin in found if pin}
    names = [name_of(line) or "" for _, line in logical_lines(_read(wanted)) if ";" not in line]
    return [name for name in names if name in pins and present.get(name) != pins[name]]


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
    """The refusal for an installer that failed, in its own last words, with the remedy where they tell the cause."""
    lines = list(installer.tail)
    first = next((number for number, line in enumerate(lines) if line.lower().startswith("error")), -1)
    why, fix = " | ".join(lines[first:][:5]) or "it said nothing", "read the build log on the host"
    if any(words in line for line in lines for words in _FULL):
        fix = "free space there, or remove old environments: fleet prune"
    elif any(words in line for line in lines for words in _UNREACHABLE):
        # pip goes on without the index and then complains of versions, which is not the cause.
        why = f"the host does not reach its package index | {why}"
        fix = "give the host's pip an index that it reaches, or have the wheels sent: fleet setup --offline"
    return Refused("remote", f"{what} (status {status})", why, fix)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read()


def _write(folder: str, name: str, text: str) -> str:
    path = os.path.join(folder, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    return path
