"""Reading YAML: safe, without duplicate keys, with the line of every value."""

from __future__ import annotations

import json
from pathlib import Path as FilePath
from typing import Any

import yaml

from hydra.errors import ManifestError
from hydra.manifest.tree import Data, Path, Tree, dotted

_EXAMPLE = "schema: 1\nname: my-run"


def read(path: FilePath) -> Tree:
    """The tree of a manifest file. Errors: the file is missing, is not YAML, or has a key twice."""
    if not path.is_file():
        raise ManifestError(
            f"there is no manifest at '{path}'",
            why="the manifest is the only source of settings, so nothing can start without it",
            fix="give the path of an existing file; shipped examples are in manifests/",
            example="python trainer.py manifests/default.yaml",
        )
    return parse(path.read_text(encoding="utf-8"), str(path))


def parse(text: str, name: str) -> Tree:
    """The tree of YAML text; `name` is shown in messages and origins."""
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise ManifestError(
            f"'{name}' is not valid YAML: {error}",
            why="a manifest that is read in part would train something else",
            fix="correct the line named above; indent with spaces",
            example=_EXAMPLE,
        ) from error
    origins: dict[Path, str] = {}
    data = _build(node, (), name, origins) if node is not None else None
    if not isinstance(data, dict):
        raise ManifestError(
            f"'{name}' holds {type(data).__name__}, not a mapping of sections",
            why="a manifest is a mapping from section names to settings",
            fix="start the file with its sections at the left margin",
            example=_EXAMPLE,
        )
    return Tree(data, origins)


def value(text: str) -> Data:
    """One value as the command line gives it: YAML, so that `3`, `true` and `[1, 2]` have their types."""
    return parse(f"value: {text}", "--set").data["value"]


def _build(node: yaml.Node, path: Path, name: str, origins: dict[Path, str]) -> Data:
    origins[path] = f"{name}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, name, origins)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), name, origins) for index, item in enumerate(node.value)]
    return _scalar(node, path, name)


def _mapping(node: yaml.MappingNode, path: Path, name: str, origins: dict[Path, str]) -> dict[str, Data]:
    result: dict[str, Data] = {}
    for key_node, value_node in node.value:
        where = f"{name}:{key_node.start_mark.line + 1}"
        key = _scalar(key_node, path, name) if isinstance(key_node, yaml.ScalarNode) else None
        if not isinstance(key, str):
            raise ManifestError(
                f"{where}: the key {key_node.value!r} under '{dotted(path) or 'the top'}' is not a string",
                why="YAML reads words such as yes, no, on and off as booleans",
                fix="put the key in quotes, or use the field's real name",
                example='"on": 1',
            )
        if key in result:
            raise ManifestError(
                f"{where}: '{dotted((*path, key))}' is given twice",
                why="only one of the two values could be used, and which one would be a guess",
                fix=f"remove one; the other is at {origins[(*path, key)]}",
                example=_EXAMPLE,
            )
        result[key] = _build(value_node, (*path, key), name, origins)
    return result


def _scalar(node: yaml.Node, path: Path, name: str) -> Data:
    found: Any = yaml.SafeLoader("").construct_object(node, deep=True)
    if isinstance(found, str | int | float | bool) or found is None:
        return found
    raise ManifestError(
        f"{name}:{node.start_mark.line + 1}: '{dotted(path)}' is a {type(found).__name__}",
        why="settings are text, numbers, booleans, lists and mappings",
        fix="quote it if it is meant as text",
        example=f"note: {json.dumps(str(found))}",
    )
