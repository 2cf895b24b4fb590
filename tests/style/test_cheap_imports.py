"""Packages that must start at once load nothing heavy. Each is imported in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "triton", "wandb", "tokenizers", "safetensors", "pyarrow", "fastapi", "paramiko")
CASES = [
    ("hydra", (*HEAVY, "numpy", "pydantic", "typer", "rich", "yaml")),
    ("hydra.errors", (*HEAVY, "numpy", "pydantic")),
    ("hydra.runs", (*HEAVY, "numpy", "hydra.manifest", "hydra.training")),
    ("hydra.manifest", (*HEAVY, "hydra.training", "hydra.model.framework.block")),
    ("hydra.cli", HEAVY),
    ("fleet", (*HEAVY, "fabric", "numpy", "pydantic", "typer", "rich", "yaml", "fleet.cli", "fleet.ssh")),
    ("fleet.cli", (*HEAVY, "fabric", "numpy", "pydantic", "rich", "yaml", "fleet.control.session", "fleet.ssh")),
    ("fleet.ssh", (*HEAVY, "fabric", "numpy", "pydantic", "typer", "rich", "yaml")),
    ("fleet.control", (*HEAVY, "fabric", "numpy", "pydantic", "typer", "rich", "yaml", "fleet.control.session")),
    ("fleet.control.deploying", (*HEAVY, "fabric", "numpy", "pydantic", "typer", "rich", "yaml")),
    ("fleet.control.status", (*HEAVY, "fabric", "numpy", "pydantic", "typer", "rich", "yaml")),
]


def loaded_by(module: str, root: Path) -> set[str]:
    """What `import module` leaves in sys.modules of a fresh interpreter."""
    code = f"import json, sys; import {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(("module", "forbidden"), CASES, ids=[module for module, _ in CASES])
def test_import_is_cheap(root: Path, module: str, forbidden: tuple[str, ...]) -> None:
    heavy = loaded_by(module, root) & set(forbidden)
    assert not heavy, f"import {module} loads {sorted(heavy)}"


def test_the_manifest_schema_needs_no_torch(root: Path) -> None:
    """Building the schema imports every room's config module, so those must be free of torch too."""
    default = root / "manifests" / "default.yaml"
    code = f"""
import sys
from pathlib import Path
from hydra.manifest import load
load(Path({str(default)!r}))
sys.exit('torch' in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or "loading a manifest imported torch"


def test_a_heavy_import_is_seen(root: Path) -> None:
    assert "json.tool" in loaded_by("json.tool", root)
