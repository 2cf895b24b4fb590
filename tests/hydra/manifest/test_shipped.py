"""The shipped manifests load, explain themselves, and are what their names say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hydra.manifest import from_tree, load
from hydra.manifest.comparison import plan_violations
from hydra.manifest.identity import resolved

ROOT = Path(__file__).parents[3] / "manifests"
PATHS = sorted(ROOT.rglob("*.yaml"))


def test_all_of_them_are_here() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in PATHS}
    expected = {"default.yaml", "bpe.yaml", "text.yaml", "gqa-window.yaml", "comparison.yaml", "124m.yaml"}
    assert names >= expected | {"bench/1.5b.yaml", "bench/d20.yaml"}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_it_loads_and_lowers_to_itself(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")
    for run in load(path).runs:
        (again,) = from_tree(resolved(run.manifest)).runs
        assert again.manifest == run.manifest
        assert set(run.origins.values()) - {"default"}


def test_the_comparison_is_fair_and_complete() -> None:
    experiment = load(ROOT / "comparison.yaml")
    assert plan_violations(experiment) == ()
    text = (ROOT / "comparison.yaml").read_text(encoding="utf-8")
    name, (*_, loop) = "span", [line for line in text.splitlines() if line.startswith("#   for run in")]
    assert [f"{name}-{one}" for one in loop.split(" in ")[1].split(";")[0].split()] == [
        run.manifest.name for run in experiment.runs
    ]


@pytest.mark.parametrize(
    ("name", "width", "blocks", "heads", "kv_heads", "sequence", "batch", "vocabulary"),
    [("1.5b", 2048, 16, 32, 8, 8192, 4, 128256), ("d20", 1280, 20, 10, 10, 2048, 32, 32768)],
)
def test_the_measured_shapes(
    name: str, width: int, blocks: int, heads: int, kv_heads: int, sequence: int, batch: int, vocabulary: int
) -> None:
    data = resolved(load(ROOT / "bench" / f"{name}.yaml").runs[0].manifest)
    mixer = data["model"]["blocks"][0]["mixer"]
    assert (data["model"]["width"], len(data["model"]["blocks"])) == (width, blocks)
    assert (mixer["heads"], mixer["kv_heads"]) == (heads, kv_heads)
    assert (data["data"]["sequence"], data["training"]["batch"], data["training"]["steps"]) == (sequence, batch, 50)
    assert (data["tokenizer"], data["precision"]["compute"]) == ({"kind": "ids", "vocabulary": vocabulary}, "bf16")
    # Enough different rows for every step, so that no page of the data is read twice.
    assert data["data"]["sources"][0]["corpus"]["tokens"] > 50 * batch * sequence


def test_reading_a_manifest_needs_no_torch() -> None:
    code = (
        "import sys; from pathlib import Path; from hydra.manifest import load; import hydra.manifest.comparison; "
        f"load(Path({str(ROOT / 'default.yaml')!r})); "
        "assert not {'torch', 'numpy', 'triton', 'tokenizers'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT.parent)
