"""Shorthands: a single corpus for `data.sources`, a single rule for `optimizer`, a single number for `seeds`."""

from __future__ import annotations

from hydra.errors import ManifestError
from hydra.manifest.tree import Tree


def shorthands(tree: Tree) -> Tree:
    """The tree with lists where the schema has lists."""
    result = tree.copy()
    _wrap(result, "optimizer", dict)
    _wrap(result, "seeds", int)
    corpus = result.get(("data", "corpus"))
    if corpus is None:
        return result
    if result.has(("data", "sources")):
        raise ManifestError(
            "data has both 'corpus' and 'sources'",
            why="'corpus' is short for a single source, so together they contradict each other",
            fix="move the corpus into the list of sources",
            example="data: {sources: [{name: code, weight: 0.7, corpus: {kind: stdlib}}]}",
        )
    origins = result.below(("data", "corpus"))
    kind = corpus.get("kind") if isinstance(corpus, dict) else None
    result.drop(("data", "corpus"))
    name = str(kind).replace("_", "-")
    result.put(("data", "sources"), [{"name": name, "weight": 1.0, "corpus": corpus}], "data.corpus")
    result.attach(("data", "sources", 0, "corpus"), origins)
    return result


def _wrap(tree: Tree, key: str, single: type) -> None:
    value = tree.data.get(key)
    if isinstance(value, single) and not isinstance(value, bool):
        origins = tree.below((key,))
        tree.put((key,), [value], origins.get((), key))
        tree.attach((key, 0), origins)
