"""No secret gets out, however the text is cut; what is no secret stays as it is."""

from __future__ import annotations

import itertools
import json
import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.redaction import Redactor, is_hidden_name, is_secret_name

#: A higher number for the nightly run.
EXAMPLES = 300
# Few letters, so that values overlap, repeat and stand inside each other; and all that assignments are made of.
PIECES = [*"ab*=\"'\\ \n:_-é", "TOKEN", "api_key", "host_key", "KEY", "TO"]
texts = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)
secrets = st.lists(st.text(alphabet='ab*"\\é', min_size=6, max_size=9), max_size=4)


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        *((name, True) for name in ("KEY", "API_KEY", "WANDB_API_KEY", "HF_TOKEN", "A_SECRET_B", "DB_PASSWORD_2")),
        *((name, False) for name in ("TOKENIZERS_PARALLELISM", "MONKEY", "KEYS", "MAX_TOKENS", "PASSWORDLESS", "")),
    ],
)
def test_a_secret_name_has_a_whole_word(name: str, secret: bool) -> None:
    assert is_secret_name(name) is secret
    assert is_hidden_name(name.lower()) is (secret and name != "KEY")


@given(texts, secrets)
@settings(max_examples=EXAMPLES)
def test_no_value_survives(text: str, values: list[str]) -> None:
    redactor = Redactor(values)
    shown = redactor.text(text.join(values) if values else text)
    assert not [value for value in values if value in shown]
    data = redactor.data("".join([text, *values, text]).encode())
    assert not [value for value in values if value.encode() in data]


@given(texts, secrets, st.lists(st.integers(0, 200), max_size=12))
@settings(max_examples=EXAMPLES)
def test_pieces_give_what_the_whole_gives(text: str, values: list[str], cuts: list[int]) -> None:
    data = text.join(["", *values, ""]).encode()
    redactor, stream = Redactor(values), Redactor(values).stream()
    edges = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    shown = b"".join(stream.feed(data[start:end]) for start, end in itertools.pairwise(edges))
    assert shown + stream.flush() == redactor.data(data)


@given(texts, secrets)
@settings(max_examples=EXAMPLES)
def test_every_byte_alone_gives_what_the_whole_gives(text: str, values: list[str]) -> None:
    data = text.join(["", *values, ""]).encode()
    stream = Redactor(values).stream()
    shown = b"".join(stream.feed(data[at : at + 1]) for at in range(len(data)))
    assert shown + stream.flush() == Redactor(values).data(data)


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | texts, lambda x: st.lists(x) | st.dictionaries(texts, x))
)
def test_json_keeps_its_form_and_loses_its_secrets(value: object) -> None:
    redactor = Redactor(["secret-value", 'with"quote'])
    written = json.dumps(redactor.json([value, {"deep": ["secret-value", {'a with"quote': 1}]}]), ensure_ascii=False)
    assert "secret-value" not in written
    assert "with" not in written
    assert isinstance(json.loads(written), list)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("WANDB_API_KEY=abc rest", "WANDB_API_KEY=*** rest"),
        ("--hf-token=abc", "--hf-token=***"),
        ("url?token=a&b=c end", "url?token=*** end"),
        ('DB_PASSWORD="two words" next', 'DB_PASSWORD="***" next'),
        ("DB_PASSWORD='it''s' next", "DB_PASSWORD='***''s' next"),
        (r'SECRET="a\"b" next', 'SECRET="***" next'),
        (r'{"line": "A_TOKEN=\"two words\" next"}', r'{"line": "A_TOKEN=\"***\" next"}'),
        (r'{"line": "A_TOKEN=abc\n"}', r'{"line": "A_TOKEN=***"}'),
        (r"{\"api_key\": \"a b\"}", r"{\"api_key\": \"***\"}"),
        ('{"api_key": "a b", "n": 1}', '{"api_key": "***", "n": 1}'),
        ("{'password': 'a b'}", "{'password': '***'}"),
        ('{"password": 123456, "n": 1}', '{"password": ***, "n": 1}'),
        ("PASSWORD=open to the end\nA_KEY=x", "PASSWORD=*** to the end\nA_KEY=***"),
        ('PASSWORD="never closed\nnext', 'PASSWORD="***\nnext'),
    ],
)
def test_values_of_secret_names_are_hidden(text: str, shown: str) -> None:
    assert Redactor().text(text) == shown
    assert Redactor().data(text.encode()) == shown.encode()


@pytest.mark.parametrize(
    "text",
    [
        *("TOKENIZERS_PARALLELISM=true", "tokens_per_s=1200", "monkey=1", "TOKEN=", "if token == 5", "the key: a word"),
        *('"key": "loss"', "host_key=SHA256:abc", "data.token_artifacts=artifacts/tokens", '"token": null', ""),
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert Redactor(["short", "another-secret"]).text(text) == text


def test_values_that_overlap_leave_nothing() -> None:
    assert Redactor(["abcdef", "defghi", "abcdefghijk"]).text("x abcdefghi y") == "x *** y"
    assert Redactor(["abcdef"]).text("abcdefabcdef") == "***"
    assert Redactor(["aaaaaa"]).text("a" * 11) == "***"


def test_a_mask_makes_no_secret_with_its_neighbours() -> None:
    redactor = Redactor(["abcdef", "***xyz"])
    assert "***xyz" not in redactor.text("abcdefxyz")
    assert redactor.mask == "###"


def test_short_values_are_no_secrets() -> None:
    assert Redactor(["12345", ""]).text("12345") == "12345"


def test_values_are_found_as_json_writes_them() -> None:
    value = 'pä"ss\\word'
    line = json.dumps({"message": f"got {value}"})
    assert json.loads(Redactor([value]).text(line)) == {"message": "got ***"}
    assert Redactor([value]).data(json.dumps([value], ensure_ascii=False).encode()) == b'["***"]'


def test_json_under_secret_names() -> None:
    given = {
        "hf_token": "x",
        "password": {"old": 1, "none": None},
        "secret": ["a", True],
        "key": "loss",
        "token_count": 3,
    }
    hidden = {"hf_token": "***", "password": {"old": "***", "none": None}, "secret": ["***", True], "key": "loss"}
    assert Redactor().json(given) == {**hidden, "token_count": "***"}


def test_arguments() -> None:
    argv = ["train", "--api-key", "a b", "--env", "DB_PASSWORD=a b", "--env=X_TOKEN=a b", "--key", "id.pub", "canary!"]
    shown = ("train", "--api-key", "***", "--env", "DB_PASSWORD=***", "--env=X_TOKEN=***", "--key", "id.pub", "***")
    assert Redactor(["canary!"]).argv(argv) == shown
    assert Redactor().argv(["--token", "--verbose"]) == ("--token", "--verbose")


def test_only_what_may_become_a_secret_waits() -> None:
    stream = Redactor(["secret-value"]).stream()
    assert stream.feed(b"Continue? [y/N] ") == b"Continue? [y/N] "
    assert stream.feed(b"a sec") == b"a "
    assert stream.feed(b"ond") == b"second"
    assert stream.feed(b" X_TOKEN=a") == b" X_TOKEN=***"
    assert stream.feed(b"b" * 100_000) == b""
    assert stream.feed(b"c d") == b" d"
    assert stream.flush() == b""


def test_no_name_of_the_project_is_hidden(root) -> None:
    """The manifest's keys, metrics and the states that programs read must come through."""
    keys = set(re.findall(r"^\| `([a-z_0-9]+)` \|", (root / "docs" / "manifest.md").read_text("utf-8"), re.M))
    assert "token_artifacts" in keys
    assert not [key for key in keys if is_hidden_name(key)]


HOSTILE = {
    "word": "token" * 40_000,
    "backslashes": "TOKEN=" + "\\" * 200_000,
    "names": "KEY_" * 50_000,
    "quotes": '"' * 200_000,
    "value": "a" * 200_000,
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_text_takes_no_longer(kind: str) -> None:
    """Linear time: what is quadratic would take minutes here. Nor does anything wait without limit."""
    start = time.perf_counter()
    redactor, data = Redactor(["aaaaaaaa"]), HOSTILE[kind].encode() + b" A_TOKEN=x"
    stream = redactor.stream()
    shown = [stream.feed(data[at : at + 100]) for at in range(0, len(data), 100)]
    assert b"".join([*shown, stream.flush()]) == redactor.data(data)
    assert time.perf_counter() - start < 10
