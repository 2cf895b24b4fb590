"""Files: what is read, what is refused before the schema sees it, and with which line."""

from __future__ import annotations

import contextlib
import errno
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from hydra.errors import ManifestError
from hydra.manifest import load
from hydra.manifest.flow import flow
from hydra.manifest.source import MAX_BYTES, parse

Refusal = Callable[..., str]


def test_a_small_file_loads(write: Callable[[str], Path], small: str) -> None:
    experiment = load(write(small))
    assert [run.manifest.name for run in experiment.runs] == ["small"]
    assert experiment.text == small


def test_json_is_yaml_too(write: Callable[[str], Path]) -> None:
    from_json = parse('{"schema": 1, "a": [1, 2.5, "x", null, true]}', "m.json")
    assert from_json.data == {"schema": 1, "a": [1, 2.5, "x", None, True]}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("notes: 2026-01-31", "reads as a timestamp"),
        ("notes: 2026-99-99", "reads as a timestamp"),
        ("notes: 1:30", "base 60"),
        ("notes: 1:30.5", "base 60"),
        ("notes: 010", "octal"),
        ("notes: -0_7", "octal"),
        ("notes: .inf", "finite"),
        ("notes: .NaN", "finite"),
        ("notes: =", "put it in quotes"),
        ("notes: " + "9" * 5000, "5000 digits"),
        ("notes: 99999999999999999999", "64 bits"),
        ("notes: &a text", "anchors"),
        ("notes: *a", "anchors"),
        ("notes: !!str 5", "tag"),
        ("notes: !!python/object/apply:os.system [ls]", "tag"),
        ("notes: {<<: {a: 1}}", "merge key"),
        ("notes: " + "[" * 100, "levels"),
        ("name: twice", "given twice"),
        ("on: 1", "is not text"),
        ("1: 1", "is not text"),
        ("? [a]\n: 1", "is not text"),
        ("notes: {", "not valid YAML"),
        ("notes: a: b", "not valid YAML"),
        ("\tnotes: a", "not valid YAML"),
        ("notes: \x07", "not valid YAML"),
        ("---\nschema: 1", "not valid YAML"),
    ],
)
def test_traps_are_refused_with_their_line(refusal: Refusal, small: str, line: str, expected: str) -> None:
    message = refusal(f"{small}{line}\n")
    assert expected in message
    if "not valid YAML" not in expected:
        assert f"m.yaml:{small.count(chr(10)) + 1}" in message


def test_octal_says_the_number_that_was_meant(refusal: Refusal, small: str) -> None:
    assert "example: steps: 400" in refusal(small.replace("steps: 10", "steps: 0400"))


def test_an_alias_bomb_is_refused_at_its_first_anchor(refusal: Refusal) -> None:
    layers = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9) if n else 'x'}]" for n in range(30))
    assert ":1: anchors" in refusal(layers)


def test_a_recursive_anchor_is_refused(refusal: Refusal) -> None:
    assert "anchors" in refusal("a: &a [*a]")


@pytest.mark.parametrize("text", ["", "# nothing\n", "null", "- a", "text", "5"])
def test_only_a_mapping_is_a_manifest(refusal: Refusal, text: str) -> None:
    assert "not a mapping of sections" in refusal(text)


@pytest.mark.parametrize(
    "text", ["name: x", "schema: 2", "schema: 1.0", "schema: true", "schema: '1'", "schema: null", "schema: [1]"]
)
def test_the_schema_version_is_exact(refusal: Refusal, text: str) -> None:
    assert "schema" in refusal(text).splitlines()[0]


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="there is no manifest at"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(ManifestError, match="there is no manifest at"):
        load(tmp_path)


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes("schema: 1\nnotes: café\n".encode("latin-1"))
    with pytest.raises(ManifestError, match="not UTF-8 text: byte 0xe9 in line 2"):
        load(path)


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    with path.open("wb") as file:
        file.truncate(MAX_BYTES + 1)
    with pytest.raises(ManifestError, match="larger than"):
        load(path)


def test_a_file_that_may_not_be_read(write: Callable[[str], Path], small: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied")

    path = write(small)
    # Not by the file's mode: root may read everything.
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(ManifestError, match="cannot be read"):
        load(path)


def test_a_byte_order_mark_is_no_key(write: Callable[[str], Path], small: str) -> None:
    assert load(write("\ufeff" + small)).runs[0].manifest.name == "small"


def test_json_escapes_beyond_the_first_plane_are_one_character(write: Callable[[str], Path], small: str) -> None:
    experiment = load(write(small + json.dumps({"notes": "\U0001f600"})[1:-1] + "\n"))
    assert experiment.runs[0].manifest.notes == "\U0001f600"


def test_half_a_character_is_refused(refusal: Refusal, small: str) -> None:
    assert "surrogate" in refusal(small + 'notes: "\\ud83d"\n')
    assert "surrogate" in refusal(small + '"\\ud83d": 1\n')


def test_many_blocks_load(write: Callable[[str], Path], small: str) -> None:
    # Quadratic bookkeeping would make this test take minutes.
    big = small.replace("    - {mixer", "    - repeat: {count: 1000, of: [{mixer", 1)
    big = big.replace("swiglu}}", "swiglu}}]}", 1)
    assert len(load(write(big)).runs[0].manifest.model.blocks) == 1001


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=6), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(PLAIN)
def test_what_messages_show_reads_back_as_it_was(value: object) -> None:
    shown = flow(value)
    assert yaml.safe_load(shown) == value
    assert parse(f"value: {shown}", "m").data["value"] == value


@given(st.binary(max_size=200))
def test_no_bytes_do_anything_but_load_or_be_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "m.yaml"
    path.write_bytes(content)
    with pytest.raises(ManifestError):
        load(path)


@given(st.text(st.sampled_from(list("ab:{}[]-,#&*!|>'\"%@`\n\t .?~<=0123eE+_$")), max_size=60))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    with contextlib.suppress(ManifestError):
        parse(text, "m.yaml")
