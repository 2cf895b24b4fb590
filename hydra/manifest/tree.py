"""A manifest as plain data that remembers where each value came from.

Lowering rewrites trees before the schema sees them. The origins (file and line, `--set`, a preset, an inference) travel
along, so an error can point at the line a person wrote and the stored manifest can say who decided each value.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

Scalar: TypeAlias = str | int | float | bool | None
Data: TypeAlias = "Scalar | list[Data] | dict[str, Data]"
Path: TypeAlias = tuple[str | int, ...]


def dotted(path: Path) -> str:
    """A path as people write it: `model.blocks.0.mixer.heads`."""
    return ".".join(str(part) for part in path)


def leaves(data: Data, path: Path = ()) -> Iterator[tuple[Path, Data]]:
    """All scalars and empty containers with their paths, in order."""
    if isinstance(data, dict) and data:
        for key, value in data.items():
            yield from leaves(value, (*path, key))
    elif isinstance(data, list) and data:
        for index, value in enumerate(data):
            yield from leaves(value, (*path, index))
    else:
        yield path, data


@dataclass
class Tree:
    """Data and the origin of its nodes; every stage of lowering takes one and returns another."""

    data: dict[str, Data]
    origins: dict[Path, str] = field(default_factory=dict)

    def copy(self) -> Tree:
        """An independent tree: copies share nothing."""
        return Tree(copy.deepcopy(self.data), dict(self.origins))

    def get(self, path: Path) -> Data:
        """The node at a path, or None when any part of the path is absent."""
        node: Data = self.data
        for part in path:
            if isinstance(node, dict) and isinstance(part, str) and part in node:
                node = node[part]
            elif isinstance(node, list) and isinstance(part, int) and part < len(node):
                node = node[part]
            else:
                return None
        return node

    def has(self, path: Path) -> bool:
        """Whether the last key of the path is present, even with a null value."""
        parent = self.get(path[:-1])
        return isinstance(parent, dict) and path[-1] in parent

    def put(self, path: Path, value: Data, origin: str) -> None:
        """Set a node whose parent exists or can be made of mappings, and say who set it."""
        node: Data = self.data
        for part in path[:-1]:
            if isinstance(node, list) and isinstance(part, int):
                node = node[part]
            else:
                assert isinstance(node, dict) and isinstance(part, str), dotted(path)
                node = node.setdefault(part, {})
        last = path[-1]
        if isinstance(node, list) and isinstance(last, int):
            node[last] = copy.deepcopy(value)
        else:
            assert isinstance(node, dict) and isinstance(last, str), dotted(path)
            node[last] = copy.deepcopy(value)
        self.forget(path)
        for below, _ in leaves(value, path):
            self.origins[below] = origin
        self.origins[path] = origin

    def drop(self, path: Path) -> None:
        """Remove a key; nothing happens when it is absent."""
        parent = self.get(path[:-1])
        if isinstance(parent, dict):
            parent.pop(str(path[-1]), None)
        self.forget(path)

    def forget(self, path: Path) -> None:
        """Drop the origins of a node and everything below it."""
        for known in [known for known in self.origins if known[: len(path)] == path]:
            del self.origins[known]

    def below(self, path: Path) -> dict[Path, str]:
        """Origins of a node and everything below it, by path relative to the node."""
        size = len(path)
        return {known[size:]: origin for known, origin in self.origins.items() if known[:size] == path}

    def attach(self, path: Path, origins: dict[Path, str]) -> None:
        """Place relative origins (from `below`) under a path."""
        for relative, origin in origins.items():
            self.origins[(*path, *relative)] = origin

    def origin(self, path: Path) -> str | None:
        """Who set a node: its own origin, or that of its closest ancestor."""
        for size in range(len(path), 0, -1):
            if path[:size] in self.origins:
                return self.origins[path[:size]]
        return None
