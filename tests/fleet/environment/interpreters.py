"""Interpreters for tests: virtual environments of this Python with a torch that is a few lines of text."""

from __future__ import annotations

import importlib.util
import venv
from pathlib import Path

#: Sees as many devices as `devices` says, unless the environment hides them, as the real one does.
_CUDA = """
import os
def device_count(): return 0 if os.environ.get("CUDA_VISIBLE_DEVICES") == "" else {devices}
def is_available(): return device_count() > 0
def get_device_name(index): return "Fake GPU"
def get_device_capability(index): return (9, 0)
def get_arch_list(): return ["sm_80", "sm_90"]
class nccl:
    @staticmethod
    def version(): return (2, 28, 3)
"""


def make_interpreter(
    folder: Path,
    *,
    torch: str | None = "2.13.0+cu130",
    cuda: str | None = "13.0",
    devices: int = 0,
    code: str = "",
    pip: bool = True,
    ensurepip: bool = True,
) -> Path:
    """A virtual environment that has pip (by a link) and this torch; the path of its Python. `code` runs on import.

    Without `ensurepip` it is as on systems that keep that module in a package of its own.
    """
    venv.EnvBuilder(symlinks=True, with_pip=False).create(folder)
    [site] = folder.glob("lib/python*/site-packages")
    if pip:
        found = importlib.util.find_spec("pip")
        assert found is not None
        assert found.origin is not None
        (site / "pip").symlink_to(Path(found.origin).parent)
    if not ensurepip:
        (site / "without.pth").write_text("import sys; sys.modules['ensurepip'] = None\n")
    if torch is not None:
        add_torch(site, torch, cuda=cuda, devices=devices, code=code)
    return folder / "bin" / "python3"


def torch_files(version: str, *, cuda: str | None = None, devices: int = 0, code: str = "") -> dict[str, str]:
    """The files of a torch, by path."""
    body = "from torch import cuda, distributed, version\n"
    return {
        "torch/__init__.py": f"print('torch says hello', end='')\n{code}\n__version__ = {version!r}\n{body}",
        "torch/version.py": f"git_version = 'git-{version}'\ncuda = {cuda!r}\n",
        "torch/cuda.py": _CUDA.format(devices=devices),
        "torch/distributed.py": "def is_nccl_available(): return True\n",
    }


def add_torch(site: Path, version: str, *, cuda: str | None = None, devices: int = 0, code: str = "") -> None:
    """Put a torch into a folder of packages, as if it had been installed."""
    for path, text in torch_files(version, cuda=cuda, devices=devices, code=code).items():
        (site / path).parent.mkdir(exist_ok=True)
        (site / path).write_text(text)
    add_metadata(site, "torch", version)


def add_metadata(site: Path, name: str, version: str) -> None:
    """Make a package of that name and version count as installed."""
    info = site / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "RECORD").write_text("")
    (info / "INSTALLER").write_text("test\n")
