"""Presets and repeats: the two ways to write many settings in one line."""

from __future__ import annotations

import copy
import importlib

from hydra.errors import ManifestError, nearest
from hydra.manifest.lowering.variables import replace_index
from hydra.manifest.registrations import PRESETS
from hydra.manifest.tree import Data, Path, Tree

_REPEAT = "model: {blocks: [{repeat: {count: 12, of: [{mixer: {kind: softmax, heads: 8}, mlp: {kind: swiglu}}]}}]}"


def preset_table() -> dict[str, dict[str, Data]]:
    """Name -> model tree of every preset."""
    module, _, attribute = PRESETS.partition(":")
    table: dict[str, dict[str, Data]] = getattr(importlib.import_module(module), attribute)
    return table


def presets(tree: Tree) -> Tree:
    """The tree with `model.preset` replaced by what it stands for; keys beside it change the preset."""
    name = tree.get(("model", "preset"))
    if name is None:
        return tree.copy()
    table = preset_table()
    if name not in table:
        close = nearest(str(name), table)
        raise ManifestError(
            f"model.preset is {name!r}, and there is no such preset",
            why=f"the presets are {', '.join(table)}",
            fix=f"did you mean '{close}'?" if close else "use one of them, or write the model out",
            example="model: {preset: 124m}",
        )
    result = tree.copy()
    own = result.get(("model",))
    origins = result.below(("model",))
    assert isinstance(own, dict)
    result.put(("model",), copy.deepcopy(table[str(name)]), f"preset {name}")
    for key, value in own.items():
        if key != "preset":
            result.put(("model", key), value, origins.get((key,), "model"))
            result.attach(("model",), {path: origin for path, origin in origins.items() if path[:1] == (key,)})
    return result


def repeats(tree: Tree) -> Tree:
    """The tree with every `repeat` in `model.blocks` written out and every block named."""
    result = tree.copy()
    blocks = result.get(("model", "blocks"))
    if not isinstance(blocks, list):
        return result
    origins = result.below(("model", "blocks"))
    written: list[Data] = []
    placed: list[dict[Path, str]] = []
    for index, item in enumerate(blocks):
        below = {path[1:]: origin for path, origin in origins.items() if path[:1] == (index,)}
        for block, block_origins in _written_out(item, below, index):
            written.append(block)
            placed.append(block_origins)
    for index, block in enumerate(written):
        if isinstance(block, dict):
            block.setdefault("id", f"block.{index}")
    result.put(("model", "blocks"), written, origins.get((), "model.blocks"))
    for index, block_origins in enumerate(placed):
        result.attach(("model", "blocks", index), block_origins)
    return result


def _written_out(item: Data, origins: dict[Path, str], index: int) -> list[tuple[Data, dict[Path, str]]]:
    if not isinstance(item, dict) or "repeat" not in item:
        return [(copy.deepcopy(item), origins)]
    repeat = item["repeat"]
    count = repeat.get("count") if isinstance(repeat, dict) else None
    of = repeat.get("of") if isinstance(repeat, dict) else None
    well_formed = isinstance(repeat, dict) and set(repeat) == {"count", "of"} and set(item) == {"repeat"}
    if not well_formed or not isinstance(count, int) or isinstance(count, bool) or count < 1 or not isinstance(of, list):
        raise ManifestError(
            f"model.blocks.{index}.repeat must be exactly 'count: N' (N >= 1) and 'of: [blocks]', got {item!r}",
            why="anything else has no single meaning",
            fix="write the count and the list of blocks that it repeats",
            example=_REPEAT,
        )
    result: list[tuple[Data, dict[Path, str]]] = []
    for turn in range(count):
        for position, block in enumerate(of):
            below = {p[3:]: o for p, o in origins.items() if p[:3] == ("repeat", "of", position)}
            fresh = replace_index(copy.deepcopy(block), turn)
            for inner, inner_origins in _written_out(fresh, below, index):
                if isinstance(inner, dict) and "id" in inner:
                    inner["id"] = f"{inner['id']}.{turn}"
                result.append((inner, inner_origins))
    return result
