"""Reading YAML: safe, without duplicate keys, with the line of every value.

Only what one line means by itself is read. Anchors, aliases, merge keys and tags are refused: they make a value depend
on another place of the file, can unfold a few lines into gigabytes, and `vars` and `repeat` say the same things.
"""

from __future__ import annotations

from pathlib import Path as FilePath

import yaml

from hydra.errors import ManifestError
from hydra.manifest.paths import Path, dotted
from hydra.manifest.plain import MAX_DEPTH, refused, scalar_fault
from hydra.manifest.scalars import MERGE, Misread, characters, scalar
from hydra.manifest.tree import Data, Origins, Tree

MAX_BYTES = 2_000_000
_EXAMPLE = "schema: 1"


def text_of(path: FilePath) -> str:
    """The text of a manifest file. Errors: it is missing, too large to be a manifest, or not UTF-8."""
    if not path.is_file():
        raise ManifestError(
            f"there is no manifest at '{path}'",
            why="the manifest is the only source of settings, so nothing can start without it",
            fix="give the path of an existing file; shipped examples are in manifests/",
            example="python trainer.py manifests/default.yaml",
        )
    try:
        content = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        raise _unreadable(path, f"cannot be read: {error.strerror}") from error
    if content is None:
        raise _unreadable(path, f"is larger than {MAX_BYTES} bytes")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _unreadable(path, f"is not UTF-8 text: byte {content[error.start]:#04x} in line {line}") from error


def parse(text: str, name: str) -> Tree:
    """The tree of YAML text; `name` is shown in messages and origins."""
    data, origins = _read(text, name)
    if not isinstance(data, dict):
        held = "nothing" if data is None else f"a {type(data).__name__}"
        raise ManifestError(
            f"'{name}' holds {held}, not a mapping of sections",
            why="a manifest is a mapping from section names to settings",
            fix="start the file with its sections at the left margin",
            example=_EXAMPLE,
        )
    return Tree(data, origins)


def value(text: str, name: str) -> Data:
    """One value as the command line gives it: YAML, so that `3`, `true` and `[1, 2]` have their types."""
    if not text.strip():
        raise ManifestError(
            f"{name} gives no value",
            why="an empty value could mean empty text, null or a mistake",
            fix="write '' for empty text and null for none",
            example="--set \"notes=''\"",
        )
    return _read(text, name)[0]


def _read(text: str, name: str) -> tuple[Data, Origins]:
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
    except _Refused as error:
        raise ManifestError(
            f"{name}:{error.line}: {error.what}",
            why="a value is to be read where it stands, without looking anything up",
            fix=error.fix,
            example='{vars: {width: 512}, model: {width: "${width}"}}',
        ) from error
    except yaml.YAMLError as error:
        raise ManifestError(
            f"'{name}' is not valid YAML: {_position(error)}",
            why="a manifest that is read in part would train something else",
            fix="correct the place named above; indent with spaces",
            example=_EXAMPLE,
        ) from error
    origins = Origins()
    return (_build(node, (), name, origins) if node is not None else None), origins


class _Refused(Exception):
    def __init__(self, line: int, what: str, fix: str) -> None:
        super().__init__(what)
        self.line, self.what, self.fix = line, what, fix


class _Loader(yaml.SafeLoader):
    """Composes nodes one event at a time, so that what is refused is refused before anything unfolds."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave this method without types
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            fix = "use vars for a repeated value and repeat for repeated blocks"
            raise _Refused(line, "anchors (&name) and aliases (*name) are refused", fix)
        if event.tag is not None:
            raise _Refused(line, f"the tag {event.tag} is refused", "remove the tag; put text in quotes")
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _Refused(line, f"more than {MAX_DEPTH} levels inside each other", "nest less")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def _build(node: yaml.Node, path: Path, name: str, origins: Origins) -> Data:
    origins.own = f"{name}:{node.start_mark.line + 1}"
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, name, origins)
    if isinstance(node, yaml.SequenceNode):
        return [
            _build(item, (*path, index), name, origins.below.setdefault(index, Origins()))
            for index, item in enumerate(node.value)
        ]
    assert isinstance(node, yaml.ScalarNode)
    try:
        return scalar(node)
    except Misread as error:
        raise ManifestError(
            f"{name}:{node.start_mark.line + 1}: '{dotted(path)}' {error}",
            why="YAML gives such values a meaning that few people expect",
            fix=error.fix,
            example=error.example,
        ) from error


def _mapping(node: yaml.MappingNode, path: Path, name: str, origins: Origins) -> dict[str, Data]:
    result: dict[str, Data] = {}
    for key_node, value_node in node.value:
        where = f"{name}:{key_node.start_mark.line + 1}"
        key = _key(key_node, path, where)
        if key in result:
            raise ManifestError(
                f"{where}: '{dotted((*path, key))}' is given twice",
                why="only one of the two values could be used, and which one would be a guess",
                fix=f"remove one; the other is at {origins.below[key].own}",
                example=_EXAMPLE,
            )
        result[key] = _build(value_node, (*path, key), name, origins.below.setdefault(key, Origins()))
    return result


def _key(node: yaml.Node, path: Path, where: str) -> str:
    below = dotted(path) or "the top"
    if isinstance(node, yaml.ScalarNode) and node.tag == MERGE:
        raise ManifestError(
            f"{where}: the merge key '<<' under '{below}' is refused",
            why="a value is to be read where it stands, without looking anything up",
            fix="use vars for a repeated value and repeat for repeated blocks",
            example='{vars: {width: 512}, model: {width: "${width}"}}',
        )
    if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
        held = repr(node.value) if isinstance(node, yaml.ScalarNode) else "a list or mapping"
        raise ManifestError(
            f"{where}: the key {held} under '{below}' is not text",
            why="YAML reads words such as yes, no, on and off as booleans",
            fix="put the key in quotes, or use the field's real name",
            example='"on": 1',
        )
    key = characters(node)
    fault = scalar_fault(key)
    if fault is not None:
        raise refused(where, path, f"has a key that {fault}")
    return key


def _position(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        mark = error.problem_mark
        context = f"{error.context}, " if error.context else ""
        return f"line {mark.line + 1}, column {mark.column + 1}: {context}{error.problem}"
    return str(error).splitlines()[0]


def _unreadable(path: FilePath, fault: str) -> ManifestError:
    return ManifestError(
        f"'{path}' {fault}",
        why="a manifest is a small text file, and nothing else can say what a run is",
        fix="check that the path names a manifest, and save it as UTF-8",
        example="python trainer.py manifests/default.yaml",
    )
