"""Shorthands: a single corpus for `data.sources`, a single rule for `optimizer`, a single number for `seeds`."""

from __future__ import annotations

from hydra.errors import ManifestError
from hydra.manifest.paths import Path
from hydra.manifest.tree import Data, Origins, Tree

_CORPUS, _SOURCES, _OPTIMIZER = ("data", "corpus"), ("data", "sources"), ("optimizer",)


def shorthands(tree: Tree) -> Tree:
    """The tree with lists where the schema has lists."""
    result = tree.copy()
    _wrap(result, "optimizer", dict)
    _wrap(result, "seeds", int)
    if not result.has(_CORPUS):
        return result
    if result.has(_SOURCES):
        raise ManifestError(
            f"data has both 'corpus' ({result.origin(_CORPUS)}) and 'sources' ({result.origin(_SOURCES)})",
            why="'corpus' is short for a single source, so together they contradict each other",
            fix="move the corpus into the list of sources",
            example="data: {sources: [{name: code, weight: 0.7, corpus: {kind: stdlib}}]}",
        )
    corpus, origins = result.get(_CORPUS), result.origins.at(_CORPUS)
    result.drop(_CORPUS)
    source: Data = {"name": _source_name(corpus), "weight": 1.0, "corpus": corpus}
    # Name and weight are not written anywhere; the corpus keeps the origins of its own lines.
    short = Origins("data.corpus", {"corpus": origins})
    result.put(_SOURCES, [source], Origins("data.corpus", {0: short}))
    return result


def as_written(tree: Tree, path: Path) -> Path:
    """A path in the spelling that this tree uses, for either spelling of a shorthand.

    `optimizer.lr` and `optimizer.0.lr`, `data.corpus` and `data.sources.0.corpus` name the same place as long as there
    is one rule and one source, so an override of a file also works on the resolved manifest of its run.
    """
    optimizer, sources = tree.get(_OPTIMIZER), tree.get(_SOURCES)
    if path[:1] == _OPTIMIZER and len(path) > 1:
        if isinstance(optimizer, list) and len(optimizer) == 1 and isinstance(path[1], str):
            return (*_OPTIMIZER, 0, *path[1:])
        if isinstance(optimizer, dict) and path[1] == 0:
            return (*_OPTIMIZER, *path[2:])
    if path[:2] == _CORPUS and isinstance(sources, list) and len(sources) == 1 and not tree.has(_CORPUS):
        return (*_SOURCES, 0, "corpus", *path[2:])
    if path[:4] == (*_SOURCES, 0, "corpus") and tree.has(_CORPUS):
        return (*_CORPUS, *path[4:])
    return path


def _source_name(corpus: Data) -> str:
    kind = corpus.get("kind") if isinstance(corpus, dict) else None
    return kind.replace("_", "-") if isinstance(kind, str) else "corpus"


def _wrap(tree: Tree, key: str, single: type) -> None:
    value = tree.data.get(key)
    if isinstance(value, single) and not isinstance(value, bool):
        origins = tree.origins.at((key,))
        tree.put((key,), [value], Origins(origins.own, {0: origins}))
