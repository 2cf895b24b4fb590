"""docs/manifest.md is what the schema says today; its examples load; editors' schema takes what the loader takes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hydra.manifest import Manifest, from_tree
from hydra.manifest.documentation import json_schema, markdown
from hydra.manifest.identity import resolved
from hydra.manifest.lowering.expand import preset_table
from hydra.manifest.registrations import KINDS
from hydra.manifest.section import kinds
from hydra.manifest.shape import fields
from hydra.manifest.source import parse

ROOT = Path(__file__).parents[3]
MANIFESTS = sorted((ROOT / "manifests").rglob("*.yaml"))
PAGE = markdown()
FENCES = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
FRAGMENTS = [text for language, text in FENCES if language == "yaml"]
FIRST = yaml.safe_load(FRAGMENTS[0])


def test_the_page_in_the_repository_is_current() -> None:
    stored = (ROOT / "docs" / "manifest.md").read_text(encoding="utf-8")
    assert stored == PAGE, "run: python -m hydra.manifest.documentation > docs/manifest.md"


def test_the_module_prints_the_page_and_the_schema() -> None:
    command = [sys.executable, "-m", "hydra.manifest.documentation"]
    printed = subprocess.run(command, capture_output=True, check=True, cwd=ROOT).stdout.decode("utf-8")
    assert printed == PAGE
    schema = subprocess.run([*command, "--json"], capture_output=True, check=True, cwd=ROOT).stdout
    assert json.loads(schema) == json_schema()


def test_every_key_kind_and_preset_is_on_the_page() -> None:
    for key in fields(Manifest):
        assert f"`{key}`" in PAGE
    for slot, names in KINDS.items():
        for name in names:
            assert f"`kind: {name}`" in PAGE, f"{slot}: {name}"
            config = kinds(slot)[name]
            for key in fields(config):
                assert key == "kind" or f"| `{key}` |" in PAGE
    for name in preset_table():
        assert f"| `{name}` |" in PAGE


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_every_example_on_the_page_loads(fragment: str) -> None:
    data = parse(fragment, "docs/manifest.md").data
    from_tree(data if "schema" in data else FIRST | data)


def test_every_override_on_the_page_is_applied() -> None:
    base = yaml.safe_load((ROOT / "manifests" / "default.yaml").read_text(encoding="utf-8"))
    lines = [line for language, text in FENCES if language == "console" for line in text.splitlines()]
    assert lines
    for line in lines:
        overrides = [quoted or bare for quoted, bare in re.findall(r"--set (?:'([^']*)'|(\S+))", line)]
        assert overrides
        from_tree(base, overrides)


def test_links_on_the_page_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(#([^)]*)\)", PAGE):
        assert target in anchors


# A checker for the part of JSON schema that json_schema() uses. It fails on any keyword that it does not know.
IGNORED = {"title", "description", "default", "examples", "discriminator", "$defs", "$schema"}
TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
ROOT_SCHEMA = json_schema()


def fits(value: Any, schema: dict[str, Any]) -> bool:
    return all(keyword in IGNORED or CHECKS[keyword](value, wanted, schema) for keyword, wanted in schema.items())


def is_type(value: Any, wanted: str, _: dict[str, Any]) -> bool:
    return isinstance(value, TYPES[wanted]) and (wanted == "boolean" or not isinstance(value, bool))


def has_extra(value: Any, wanted: Any, schema: dict[str, Any]) -> bool:
    patterns = schema.get("patternProperties", {})
    extra = [
        key for key in value if key not in schema.get("properties", {}) and not any(re.search(p, key) for p in patterns)
    ]
    return not extra if wanted is False else wanted is True or all(fits(value[key], wanted) for key in extra)


CHECKS: dict[str, Any] = {
    "$ref": lambda value, wanted, _: fits(value, ROOT_SCHEMA["$defs"][wanted.removeprefix("#/$defs/")]),
    "anyOf": lambda value, wanted, _: any(fits(value, option) for option in wanted),
    "oneOf": lambda value, wanted, _: sum(fits(value, option) for option in wanted) == 1,
    "const": lambda value, wanted, _: value == wanted and type(value) is type(wanted),
    "enum": lambda value, wanted, _: value in wanted,
    "type": is_type,
    "properties": lambda value, wanted, _: (
        not isinstance(value, dict) or all(fits(value[key], inner) for key, inner in wanted.items() if key in value)
    ),
    "patternProperties": lambda value, wanted, _: all(
        fits(inner, one) for pattern, one in wanted.items() for key, inner in value.items() if re.search(pattern, key)
    ),
    "additionalProperties": lambda value, wanted, schema: (
        not isinstance(value, dict) or has_extra(value, wanted, schema)
    ),
    "minProperties": lambda value, wanted, _: len(value) >= wanted,
    "required": lambda value, wanted, _: not isinstance(value, dict) or all(key in value for key in wanted),
    "items": lambda value, wanted, _: not isinstance(value, list) or all(fits(item, wanted) for item in value),
    "prefixItems": lambda value, wanted, _: (
        not isinstance(value, list) or all(fits(item, one) for item, one in zip(value, wanted, strict=False))
    ),
    "minItems": lambda value, wanted, _: not isinstance(value, list) or len(value) >= wanted,
    "maxItems": lambda value, wanted, _: not isinstance(value, list) or len(value) <= wanted,
    "minLength": lambda value, wanted, _: not isinstance(value, str) or len(value) >= wanted,
    "pattern": lambda value, wanted, _: not isinstance(value, str) or re.search(wanted, value) is not None,
    "minimum": lambda value, wanted, _: not isinstance(value, int | float) or value >= wanted,
    "exclusiveMinimum": lambda value, wanted, _: not isinstance(value, int | float) or value > wanted,
    "maximum": lambda value, wanted, _: not isinstance(value, int | float) or value <= wanted,
    "exclusiveMaximum": lambda value, wanted, _: not isinstance(value, int | float) or value < wanted,
}


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_editors_accept_what_the_loader_accepts(path: Path) -> None:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert fits(data, ROOT_SCHEMA)
    assert all(fits(resolved(run.manifest), ROOT_SCHEMA) for run in from_tree(data).runs)


@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_editors_accept_the_examples(fragment: str) -> None:
    assert fits(FIRST | yaml.safe_load(fragment), ROOT_SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        {"trainning": {}},
        {"name": "A b"},
        {"model": {}},
        {"model": {"width": 64}},
        {"model": {"preset": "nothing"}},
        {"training": {"steps": 0, "batch": 4}},
        {"training": {"steps": "ten", "batch": 4}},
        {"training": {"steps": 10}},
        {"tokenizer": {"kind": "byte"}},
        {"optimizer": {"kind": "adamw", "lr": "1e-4"}},
        {"data": {"sequence": 64}},
    ],
)
def test_editors_warn_of_mistakes(change: dict[str, Any]) -> None:
    assert not fits(FIRST | change, ROOT_SCHEMA)
