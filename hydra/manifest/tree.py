"""A manifest as plain data that remembers where each value came from.

Lowering rewrites trees before the schema sees them. The origins (file and line, `--set`, a preset, an inference) travel
along, so an error can point at the line a person wrote and the stored manifest can say who decided each value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from hydra.manifest.paths import Path, dotted

Scalar: TypeAlias = str | int | float | bool | None
Data: TypeAlias = "Scalar | list[Data] | dict[str, Data]"


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


def duplicate(data: Data) -> Data:
    """A copy that shares no container with the original."""
    if isinstance(data, dict):
        return {key: duplicate(value) for key, value in data.items()}
    if isinstance(data, list):
        return [duplicate(value) for value in data]
    return data


@dataclass(slots=True)
class Origins:
    """Who set a node, and who set what lies below it where that was somebody else.

    It mirrors the data's nesting, so that moving or replacing a part of a manifest costs as much as that part is large.
    """

    own: str | None = None
    below: dict[str | int, Origins] = field(default_factory=dict)

    def copy(self) -> Origins:
        """An independent copy."""
        return Origins(self.own, {key: child.copy() for key, child in self.below.items()})

    def at(self, path: Path) -> Origins:
        """A copy of what is known at a path; without an origin of its own it takes the closest ancestor's."""
        node, closest = self, self.own
        for part in path:
            node = node.below.get(part, _NOTHING)
            closest = node.own or closest
        found = node.copy()
        found.own = closest
        return found

    def closest(self, path: Path) -> str | None:
        """Who set a node: its own origin, or that of its closest ancestor."""
        node, closest = self, self.own
        for part in path:
            child = node.below.get(part)
            if child is None:
                break
            node, closest = child, child.own or closest
        return closest

    def put(self, path: Path, origins: Origins) -> None:
        """Replace all that is known at a path."""
        node = self
        for part in path[:-1]:
            node = node.below.setdefault(part, Origins())
        node.below[path[-1]] = origins


_NOTHING = Origins()


@dataclass(slots=True)
class Tree:
    """Data and the origins of its nodes; every stage of lowering takes one and returns another."""

    data: dict[str, Data]
    origins: Origins = field(default_factory=Origins)

    def copy(self) -> Tree:
        """An independent tree: copies share nothing."""
        data = duplicate(self.data)
        assert isinstance(data, dict)
        return Tree(data, self.origins.copy())

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
        """Whether the path exists, even with a null value."""
        parent, last = self.get(path[:-1]), path[-1]
        if isinstance(parent, list):
            return isinstance(last, int) and last < len(parent)
        return isinstance(parent, dict) and last in parent

    def put(self, path: Path, value: Data, origin: str | Origins) -> None:
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
            node[last] = duplicate(value)
        else:
            assert isinstance(node, dict) and isinstance(last, str), dotted(path)
            node[last] = duplicate(value)
        self.origins.put(path, Origins(origin) if isinstance(origin, str) else origin.copy())

    def drop(self, path: Path) -> None:
        """Remove a key; nothing happens when it is absent."""
        parent = self.get(path[:-1])
        if isinstance(parent, dict):
            parent.pop(str(path[-1]), None)
        self.origins.put(path, Origins())

    def origin(self, path: Path) -> str | None:
        """Who set a node: its own origin, or that of its closest ancestor."""
        return self.origins.closest(path)
