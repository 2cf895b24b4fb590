"""What one Python interpreter offers, as one line of JSON: version, places, packages, torch and the devices it sees.

It is sent as text and run by the interpreter in question (`python -E -c TEXT SECONDS MAJOR.MINOR torch|plain`), so it
imports the standard library alone and runs where nothing of this project is. Status 10 means: this torch can be
used. An interpreter that hangs, for example on a dead network file system, is ended by an alarm signal.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import signal
import site
import sys
import sysconfig
from typing import Any, Mapping, Sequence

WORKS = 10
#: What the import of a torch that does not fit its surroundings has been seen to raise.
_BROKEN = (
    ImportError,
    OSError,
    RuntimeError,
    AttributeError,
    ValueError,
    TypeError,
    LookupError,
    NameError,
    SyntaxError,
)


def main() -> None:
    """Write the facts to stdout. Whatever imported packages print goes to stderr instead."""
    seconds, minimum, what = sys.argv[1:4]
    signal.alarm(int(seconds))
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    # With `-c`, the login folder would be searched for packages first.
    sys.path[:] = [entry for entry in sys.path if entry]
    facts = interpreter()
    facts["packages"] = packages()
    if what == "torch":
        facts["torch"] = torch_build()
        facts.update(driver())
        facts["problem"] = torch_problem(facts["torch"], facts["gpus"], minimum)
    # On a line of its own, whatever was printed before without an end of line.
    answers.write("\n" + json.dumps(facts) + "\n")
    answers.close()
    # Not the ordinary way out: a broken CUDA library may hang or crash in its destructors.
    os._exit(WORKS if what == "torch" and not facts["problem"] else 0)


def interpreter() -> dict[str, Any]:
    """The interpreter itself: paths, version, platform, and how packages could be installed for it."""
    venv = sys.prefix != sys.base_prefix
    pip = importlib.util.find_spec("pip")
    try:
        libc = os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (ValueError, OSError):
        libc = ""
    return {
        "executable": sys.executable,
        "real": os.path.realpath(sys.executable),
        "version": ".".join(str(part) for part in sys.version_info[:3]),
        "build": sys.version,
        "implementation": sys.implementation.name,
        "prefix": sys.prefix,
        "venv": venv,
        "system_site": not venv or _sees_system_site(),
        "site": [entry for entry in site.getsitepackages([sys.prefix]) if os.path.isdir(entry)] if venv else [],
        "platform": sysconfig.get_platform(),
        "libc": libc,
        "pip": os.path.dirname(pip.origin) if pip is not None and pip.origin else None,
        "ensurepip": importlib.util.find_spec("ensurepip") is not None,
        "markers": markers(),
        "gpus": gpus(),
    }


def _sees_system_site() -> bool:
    """Whether this virtual environment also shows the packages of the interpreter that it was made from."""
    try:
        with open(os.path.join(sys.prefix, "pyvenv.cfg"), encoding="utf-8") as config:
            lines = dict(line.lower().replace(" ", "").strip().split("=", 1) for line in config if "=" in line)
    except OSError:
        return True
    return lines.get("include-system-site-packages") == "true"


def markers() -> dict[str, Any]:
    """The variables of environment markers (PEP 508), by which wheels are chosen for this interpreter elsewhere."""
    import platform

    version = platform.python_version()
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": version,
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": version,
        "python_version": ".".join(version.split(".")[:2]),
        "sys_platform": sys.platform,
    }


def packages() -> dict[str, Any]:
    """Canonical name and version of every package that the interpreter sees; the first on its path wins."""
    from importlib import metadata

    found: dict[str, Any] = {}
    for distribution in metadata.distributions():
        name, version = distribution.metadata["Name"], distribution.version
        if name and version:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), version)
    return dict(sorted(found.items()))


def torch_build() -> dict[str, Any] | None:
    """Which torch there is, where, and what it sees; None without one; `error` instead when it does not import."""
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        # By name, because this file is part of a package that must never depend on torch.
        torch: Any = importlib.import_module("torch")
        seen = torch.cuda.is_available()
        devices = range(torch.cuda.device_count() if seen else 0)
        nccl = torch.cuda.nccl.version() if seen and torch.distributed.is_nccl_available() else None
        return {
            "version": str(torch.__version__),
            "git": str(getattr(torch.version, "git_version", "")),
            "cuda": torch.version.cuda,
            "path": os.path.realpath(os.path.dirname(torch.__file__)),
            "file": os.path.realpath(torch.version.__file__),
            "nccl": ".".join(str(part) for part in nccl) if isinstance(nccl, tuple) else nccl,
            "devices": [torch.cuda.get_device_name(index) for index in devices],
            "capabilities": [list(torch.cuda.get_device_capability(index)) for index in devices],
            "architectures": list(torch.cuda.get_arch_list()) if seen else [],
        }
    except _BROKEN as error:
        words = str(error).strip().splitlines() or [""]
        return {"error": f"{type(error).__name__}: {words[0][:300]}"}


def torch_problem(torch: Mapping[str, Any] | None, gpus: int, minimum: str) -> str:
    """Why this torch cannot be used on a host with so many GPUs, or the empty string."""
    if torch is None:
        return "no torch"
    if "error" in torch:
        return f"torch does not import: {torch['error']}"
    version, seen = str(torch["version"]), len(torch["devices"])
    if release(version) < release(minimum):
        return f"torch {version} is older than {minimum}"
    if gpus and torch["cuda"] is None:
        return f"torch {version} is built without CUDA, and the host has GPUs ({gpus})"
    if gpus and not seen:
        return f"torch {version} (CUDA {torch['cuda']}) sees none of the host's GPUs ({gpus})"
    for name, capability in zip(torch["devices"], torch["capabilities"]):
        if torch["architectures"] and not runs_on(torch["architectures"], capability):
            shown = " ".join(torch["architectures"])
            return f"torch {version} has code for {shown}, not for {name} (sm_{capability[0]}{capability[1]})"
    return ""


def runs_on(architectures: Sequence[str], capability: Sequence[int]) -> bool:
    """Whether code for one of these architectures runs on a device: same major version and not newer, or PTX."""
    for architecture in architectures:
        found = re.match(r"(sm|compute)_(\d+)(\d)[a-z]?$", architecture)
        if found is None:
            continue
        built = [int(found.group(2)), int(found.group(3))]
        if built <= list(capability) and (found.group(1) == "compute" or built[0] == capability[0]):
            return True
    return False


def release(version: str) -> tuple[int, ...]:
    """Major and minor number of a version, whatever follows them."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])


def gpus() -> int:
    """NVIDIA devices that this login may open. The driver is not asked: that can hang."""
    try:
        names = os.listdir("/dev")
    except OSError:
        return 0
    return len([name for name in names if re.match(r"nvidia\d+$", name)]) or int("dxg" in names)


def driver() -> dict[str, Any]:
    """Version of the NVIDIA driver and the newest CUDA it offers, None where there is none."""
    import ctypes

    found: dict[str, Any] = {"driver": None, "driver_cuda": None}
    try:
        with open("/proc/driver/nvidia/version", encoding="utf-8") as file:
            match = re.search(r"\s(\d+\.\d+(\.\d+)?)\s", file.readline())
            found["driver"] = match.group(1) if match else None
    except OSError:
        return found
    try:
        number = ctypes.c_int()
        if ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number)) == 0:
            found["driver_cuda"] = f"{number.value // 1000}.{number.value % 1000 // 10}"
    except (OSError, AttributeError):
        found["driver_cuda"] = None
    return found


if __name__ == "__main__":
    main()
