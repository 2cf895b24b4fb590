"""Every key reaches code: each field of the schema is read somewhere outside the schema.

A small type inference over the package's syntax trees follows annotations, so that `checkpoint.every` is not taken for
`evaluation.every`. An access counts for the sections that its receiver can be. Where the receiver is unknown it counts
if only one section has such a field, or if the receiver's name says which section it is.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import hydra
from hydra.manifest import Manifest
from hydra.manifest.registrations import KINDS
from hydra.manifest.section import Section, kinds
from hydra.manifest.shape import fields, inside

PACKAGE = Path(hydra.__file__).parent
Types = frozenset[str]
NONE: Types = frozenset()

#: Read by name out of plain data: a tree being lowered, or a run's stored manifest. The text must stand in that file.
BY_NAME = {
    ("Manifest", "schema"): ("manifest/lowering/stages.py", '.get("schema")'),
    ("Manifest", "vars"): ("manifest/lowering/variables.py", '.get("vars"'),
    ("Manifest", "notes"): ("report/header.py", '"manifest", "notes"'),
    ("Runs", "arms"): ("manifest/lowering/arms.py", '("runs", "arms")'),
}


def sections() -> dict[str, type[Section]]:
    """Every section class of the schema by name."""
    found: dict[str, type[Section]] = {}
    waiting: list[type[Section]] = [Manifest, *(config for slot in KINDS for config in kinds(slot).values())]
    while waiting:
        section = waiting.pop()
        if section.__name__ in found:
            continue
        found[section.__name__] = section
        waiting += [one.section for info in fields(section).values() if (one := inside(info)) and one.section]
    return found


SECTIONS = sections()
OWNERS = {
    key: [name for name, section in SECTIONS.items() if key in fields(section)]
    for key in {key for section in SECTIONS.values() for key in fields(section)}
}
#: What a section is called where it is a field: `Checkpoint` -> checkpoint, `WsdSchedule` -> schedule.
CALLED: dict[str, set[str]] = defaultdict(set)


def is_schema(path: Path) -> bool:
    """Files that only describe settings."""
    relative = path.relative_to(PACKAGE)
    described = ("manifest/sections.py", "manifest/root.py", "manifest/section.py")
    return path.name == "config.py" or relative.as_posix() in described or "documentation" in relative.parts


def type_tables() -> dict[str, dict[str, Types]]:
    """Class name -> attribute -> class names, for sections and for every annotated class of the package."""
    table: dict[str, dict[str, Types]] = defaultdict(dict)
    for name, section in SECTIONS.items():
        for key, info in fields(section).items():
            below = inside(info)
            if below is None:
                continue
            classes = [below.section] if below.section else list(dict.fromkeys(kinds(below.slot or "").values()))
            table[name][key] = frozenset(one.__name__ for one in classes)
            for one in classes:
                CALLED[one.__name__] |= {key, key.removesuffix("s")}
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in PACKAGE.rglob("*.py") if not is_schema(path)]
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                table[node.name] |= dict(_attributes(node))
    return table


def _attributes(node: ast.ClassDef) -> Iterator[tuple[str, Types]]:
    for item in ast.walk(node):
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name):
            yield item.target.id, _names(item.annotation)
        elif isinstance(item, ast.FunctionDef) and item.returns is not None:
            yield item.name, _names(item.returns)
    for method in node.body:
        if isinstance(method, ast.FunctionDef):
            given = {argument.arg: _names(argument.annotation) for argument in method.args.args if argument.annotation}
            for item in ast.walk(method):
                if isinstance(item, ast.Assign):
                    yield from _stored(item, given)


def _stored(item: ast.Assign, given: dict[str, Types]) -> Iterator[tuple[str, Types]]:
    """`self._a, self._b = a, b` and `self._a = a`, for annotated parameters."""
    for target in item.targets:
        pairs = [(target, item.value)]
        if isinstance(target, ast.Tuple) and isinstance(item.value, ast.Tuple):
            pairs = list(zip(target.elts, item.value.elts, strict=False))
        for one, value in pairs:
            if isinstance(one, ast.Attribute) and isinstance(value, ast.Name) and value.id in given:
                yield one.attr, given[value.id]


def _names(annotation: ast.AST) -> Types:
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        annotation = ast.parse(annotation.value, mode="eval")
    return frozenset(node.id for node in ast.walk(annotation) if isinstance(node, ast.Name)) | frozenset(
        node.attr for node in ast.walk(annotation) if isinstance(node, ast.Attribute)
    )


TABLE = type_tables()


class Reads(ast.NodeVisitor):
    """The fields that one file reads."""

    def __init__(self) -> None:
        self.found: set[tuple[str, str]] = set()
        self._scopes: list[dict[str, Types]] = [{}]
        # What a name means in this file, where that is not the section of the same name.
        self._meaning: dict[str, str] = {}

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        is_schema_import = (node.module or "").endswith(".config") or (node.module or "").startswith("hydra.manifest")
        for one in node.names:
            if is_schema_import:
                self._meaning[one.asname or one.name] = one.name
            elif (one.asname or one.name) in SECTIONS:
                self._meaning[one.asname or one.name] = ""

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        if node.name in SECTIONS:
            self._meaning[node.name] = ""
        self._within({"self": frozenset({node.name}), "cls": frozenset({node.name})}, node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        self._within({one.arg: self._named(one.annotation) for one in arguments if one.annotation is not None}, node)

    def visit_Assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=False))
            for one, value in pairs:
                if isinstance(one, ast.Name):
                    self._scopes[-1][one.id] = self._type(value)
        self.generic_visit(node)

    def visit_For(self, node: ast.For) -> None:
        self._bind(node.target, node.iter)
        self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        self._bind(node.target, node.iter)
        self.generic_visit(node)

    def visit_ListComp(self, node: ast.ListComp) -> None:
        self._comprehension(node)

    def visit_SetComp(self, node: ast.SetComp) -> None:
        self._comprehension(node)

    def visit_GeneratorExp(self, node: ast.GeneratorExp) -> None:
        self._comprehension(node)

    def visit_DictComp(self, node: ast.DictComp) -> None:
        self._comprehension(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.ctx, ast.Load):
            types = self._type(node.value)
            receivers = types & SECTIONS.keys()
            named = {"schema_version": "schema"}.get(node.attr, node.attr)
            owners = OWNERS.get(named, [])
            if receivers:
                self.found |= {(name, named) for name in owners if name in receivers}
            elif types & TABLE.keys():
                pass  # another class of the package, with a field of the same name
            elif len(owners) == 1:
                self.found.add((owners[0], named))
            else:
                last = _last(node.value).strip("_").lower()
                self.found |= {(name, named) for name in owners if last in CALLED[name] or last == name.lower()}
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        # A kind is read where code asks for its class instead of its `kind`.
        if isinstance(node.func, ast.Name) and node.func.id == "isinstance":
            self._kinds(node.args[1])
        self.generic_visit(node)

    def visit_match_case(self, node: ast.match_case) -> None:
        for one in ast.walk(node.pattern):
            if isinstance(one, ast.MatchClass):
                self._kinds(one.cls)
                matched = self._named(one.cls) & SECTIONS.keys()
                self.found |= {(name, key) for name in matched for key in one.kwd_attrs}
        self.generic_visit(node)

    def _kinds(self, node: ast.AST) -> None:
        self.found |= {(name, "kind") for name in self._named(node) & SECTIONS.keys()}

    def _named(self, annotation: ast.AST) -> Types:
        return frozenset(self._meaning.get(name, name) for name in _names(annotation))

    def _comprehension(self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp) -> None:
        self._scopes.append({})
        for generator in node.generators:
            self.visit(generator)
        self.generic_visit(node)
        self._scopes.pop()

    def _within(self, names: dict[str, Types], node: ast.AST) -> None:
        self._scopes.append(names)
        self.generic_visit(node)
        self._scopes.pop()

    def _bind(self, target: ast.expr, iterated: ast.expr) -> None:
        types = self._type(iterated)
        if isinstance(iterated, ast.Call) and iterated.args:
            types = frozenset().union(*(self._type(argument) for argument in iterated.args))
        for name in ast.walk(target):
            if isinstance(name, ast.Name):
                self._scopes[-1][name.id] = types

    def _type(self, node: ast.expr) -> Types:
        if isinstance(node, ast.Name):
            return next((scope[node.id] for scope in reversed(self._scopes) if node.id in scope), NONE)
        if isinstance(node, ast.Attribute):
            tables = [TABLE[name] for name in self._type(node.value) if name in TABLE]
            return frozenset().union(*(table.get(node.attr, NONE) for table in tables))
        if isinstance(node, ast.Subscript):
            return self._type(node.value)
        if isinstance(node, ast.Call):
            return self._type(node.func)
        if isinstance(node, ast.IfExp):
            return self._type(node.body) | self._type(node.orelse)
        return NONE


def _last(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def read_fields() -> set[tuple[str, str]]:
    """(section, field) for everything that package code reads."""
    found: set[tuple[str, str]] = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        if not is_schema(path):
            reads = Reads()
            reads.visit(ast.parse(path.read_text(encoding="utf-8")))
            found |= reads.found
    for key, (file, text) in BY_NAME.items():
        if text in (PACKAGE / file).read_text(encoding="utf-8"):
            found.add(key)
    return found


def test_every_field_of_the_schema_is_read_by_code() -> None:
    wanted = {(name, key) for name, section in SECTIONS.items() for key in fields(section)}
    unread = sorted(f"{name}.{key}" for name, key in wanted - read_fields())
    assert not unread, f"{len(unread)} keys reach no code: {', '.join(unread)}"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("def f(manifest: Manifest): return manifest.checkpoint.every", {("Checkpoint", "every")}),
        ("def f(settings: Evaluation): return settings.every", {("Evaluation", "every")}),
        ("def f(unknown): return unknown.every", set()),
        ("def f(unknown): return unknown.nonfinite_in_a_row", {("Training", "nonfinite_in_a_row")}),
        ("def f(manifest: Manifest):\n  for s in manifest.data.sources: s.weight", {("Source", "weight")}),
        ("def f(m: Manifest): return [b.mixer for b in m.model.blocks]", {("Block", "mixer")}),
        ("def f(m: Manifest):\n  checkpoint, data = m.checkpoint, m.data\n  data.packing", {("Data", "packing")}),
        ("def f(config): isinstance(config, WsdSchedule)", {("WsdSchedule", "kind")}),
        ("def f(samples): samples.every", {("Samples", "every")}),
        ("def f(record: EndRecord): record.steps", set()),
        ("def f(unknown): unknown.steps", {("Training", "steps")}),
        ("def f(m: Manifest): m.checkpoint.every = 1", {("Manifest", "checkpoint")}),
        ("from hydra.data.config import TextCorpus as T\nmatch c:\n  case T(files=f): f", {("TextCorpus", "files")}),
        ("from hydra.data.corpora import TextCorpus as T\nmatch c:\n  case T(files=f): f", set()),
        ("class TextCorpus: pass\nmatch c:\n  case TextCorpus(files=f): f", set()),
    ],
)
def test_the_search_tells_fields_of_one_name_apart(code: str, expected: set[tuple[str, str]]) -> None:
    reads = Reads()
    reads.visit(ast.parse(code))
    wanted_keys = {key for _, key in expected} or {"every", "files", "steps"}
    assert {pair for pair in reads.found if pair[1] in wanted_keys} == expected
