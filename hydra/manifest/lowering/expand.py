"""Presets and repeats: the two ways to write many settings in one line."""

from __future__ import annotations

import importlib
import json

from hydra.errors import ManifestError, nearest
from hydra.manifest.lowering.merging import merge
from hydra.manifest.lowering.variables import replace_index
from hydra.manifest.registrations import PRESETS
from hydra.manifest.tree import Data, Origins, Tree, duplicate

#: Far above any real model; a mistyped count is refused before it fills the memory.
MAX_BLOCKS = 10_000
_REPEAT = "model: {blocks: [{repeat: {count: 12, of: [{mixer: {kind: softmax, heads: 8}, mlp: {kind: swiglu}}]}}]}"
_BLOCKS = ("model", "blocks")


def preset_table() -> dict[str, dict[str, Data]]:
    """Name -> model tree of every preset."""
    module, _, attribute = PRESETS.partition(":")
    table: dict[str, dict[str, Data]] = getattr(importlib.import_module(module), attribute)
    return table


def presets(tree: Tree) -> Tree:
    """The tree with `model.preset` replaced by what it stands for; keys beside it change the preset."""
    result = tree.copy()
    own = result.get(("model",))
    if not isinstance(own, dict) or "preset" not in own:
        return result
    name, table = own.pop("preset"), preset_table()
    if not isinstance(name, str) or name not in table:
        close = nearest(str(name), table)
        raise ManifestError(
            f"model.preset is {json.dumps(name)}, and there is no such preset ({tree.origin(('model', 'preset'))})",
            why=f"the presets are {', '.join(table)}",
            fix=f"did you mean '{close}'?" if close else "use one of them, or write the model out",
            example="model: {preset: 124m}",
        )
    origins = tree.origins.at(("model",))
    result.put(("model",), table[name], f"preset {name}")
    merge(result, own, origins, ("model",))
    return result


def repeats(tree: Tree) -> Tree:
    """The tree with every `repeat` in `model.blocks` written out and every block named."""
    result = tree.copy()
    blocks = result.get(_BLOCKS)
    if not isinstance(blocks, list):
        return result
    origins = result.origins.at(_BLOCKS)
    written = _Blocks()
    for index, item in enumerate(blocks):
        written.add(item, origins.at((index,)), ())
    placed = Origins(origins.own, dict(enumerate(written.origins)))
    for index, block in enumerate(written.blocks):
        if isinstance(block, dict) and "id" not in block:
            block["id"] = f"block.{index}"
            placed.below[index].below["id"] = Origins("inferred from its position")
    result.put(_BLOCKS, written.blocks, placed)
    return result


class _Blocks:
    """The explicit list of blocks, as it grows."""

    def __init__(self) -> None:
        self.blocks: list[Data] = []
        self.origins: list[Origins] = []

    def add(self, item: Data, origins: Origins, turns: tuple[int, ...]) -> None:
        """Append one item of a list of blocks, written out; `turns` are the turns of the repeats around it."""
        if isinstance(item, dict) and "repeat" in item:
            self._repeat(item, origins, turns)
            return
        if len(self.blocks) == MAX_BLOCKS:
            raise _malformed(f"model.blocks has more than {MAX_BLOCKS} blocks ({origins.own})")
        block = duplicate(replace_index(item, turns[-1])) if turns else duplicate(item)
        written = item.get("id") if isinstance(item, dict) else None
        # A name that holds the index is already different on every turn.
        if isinstance(block, dict) and isinstance(written, str) and turns and "${" not in written:
            block["id"] = ".".join((written, *map(str, turns)))
        self.blocks.append(block)
        self.origins.append(origins.copy())

    def _repeat(self, item: dict[str, Data], origins: Origins, turns: tuple[int, ...]) -> None:
        repeat = item["repeat"]
        if not isinstance(repeat, dict) or set(repeat) != {"count", "of"} or set(item) != {"repeat"}:
            raise _malformed(f"a repeat must be exactly 'count: N' and 'of: [blocks]' ({origins.own})")
        count, of = repeat["count"], repeat["of"]
        if type(count) is not int or count < 1 or not isinstance(of, list) or not of:
            held = f"count: {json.dumps(count)}" if type(count) is not int or count < 1 else "of: something else"
            raise _malformed(f"a repeat needs a count of 1 or more and a list of blocks, not {held} ({origins.own})")
        for turn in range(count):
            for position, block in enumerate(of):
                self.add(block, origins.at(("repeat", "of", position)), (*turns, turn))


def _malformed(what: str) -> ManifestError:
    return ManifestError(
        what,
        why="anything else has no single meaning",
        fix="write the count and the list of blocks that it repeats",
        example=_REPEAT,
    )
