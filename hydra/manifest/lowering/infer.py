"""Inferred sizes: what follows from the width, the batch or the sequence and was not written down."""

from __future__ import annotations

from hydra.errors import ManifestError
from hydra.manifest.paths import Path, dotted
from hydra.manifest.section import kinds
from hydra.manifest.tree import Data, Tree
from hydra.manifest.whence import told


def sizes(tree: Tree) -> Tree:
    """The tree with every inferred field filled in; what is written stays as it is."""
    result = tree.copy()
    _fill(result, ("training", "micro_batch"), result.get(("training", "batch")), "training.batch")
    if not isinstance(result.get(("model",)), dict):
        return result
    _fill(result, ("model", "context"), result.get(("data", "sequence")), "data.sequence")
    _fill(result, ("model", "norm"), {}, "the default norm")
    _fill(result, ("model", "norm", "kind"), "rms_norm", "the default norm")
    blocks = result.get(("model", "blocks"))
    for index in range(len(blocks)) if isinstance(blocks, list) else ():
        path: Path = ("model", "blocks", index)
        if isinstance(result.get(path), dict):
            _fill(result, (*path, "norm"), result.get(("model", "norm")), "model.norm")
            _fill(result, (*path, "norm", "kind"), "rms_norm", "the default norm")
            _kind(result, (*path, "mixer"), "mixer")
            _kind(result, (*path, "mlp"), "mlp")
    return result


def _fill(tree: Tree, path: Path, value: Data, source: str) -> None:
    if value is not None and isinstance(tree.get(path[:-1]), dict) and not tree.has(path):
        tree.put(path, value, f"inferred from {source}")


def _kind(tree: Tree, path: Path, slot: str) -> None:
    """Ask the kind's own room for the sizes that follow from the width."""
    width, section = tree.get(("model", "width")), tree.get(path)
    if not isinstance(width, int) or isinstance(width, bool) or width < 1 or not isinstance(section, dict):
        return
    config = kinds(slot).get(str(section.get("kind")))
    if config is None:
        return
    try:
        inferred = config.inferred(section, width)
    except ValueError as error:
        raise ManifestError(
            f"{dotted(path)}: {error}{told(str(error), path, tree)}",
            why="the sizes of a block follow from the model's width, and must be whole",
            fix="change one of the two numbers, or write the inferred size out",
            example="mixer: {kind: softmax, heads: 8, kv_heads: 2, head_width: 64}",
        ) from error
    for key, value in inferred.items():
        _fill(tree, (*path, key), value, "model.width")
