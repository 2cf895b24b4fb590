from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hydra.runs import SampleWriter, read_samples


def sample(**changes: Any) -> dict[str, Any]:
    return {
        "step": 10, "set": "default", "prompt_id": "p0", "index": 0, "seed": 1, "settings": {"temperature": 0.8},
        "text": "NaN", "tokens": 3, "ended": "length", **changes,
    }  # fmt: skip


def test_texts_come_back_as_they_were(tmp_path: Path) -> None:
    path = tmp_path / "samples.jsonl"
    texts = ["NaN", "a\nb\x1b[31m\u2028", "\ud800", "日本", ""]
    with SampleWriter(path, attempt=1) as samples:
        for index, text in enumerate(texts):
            samples.append(sample(index=index, text=text))
    assert [row["text"] for row in read_samples(path)] == texts
    assert len(path.read_bytes().splitlines()) == len(texts)


def test_no_round_overwrites_another_and_the_highest_attempt_wins(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with SampleWriter(path, attempt=1) as samples:
        samples.append(sample(step=20, text="old"))
        samples.append(sample(step=10, text="kept"))
    with SampleWriter(path, attempt=2) as samples:
        samples.append(sample(step=20, text="new"))
    assert [(row["step"], row["text"], row["attempt"]) for row in read_samples(path)] == [
        (10, "kept", 1),
        (20, "new", 2),
    ]


def test_what_is_no_sample_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_bytes(b'{"step":1,"prompt_id":[],"index":0,"attempt":1}\nx\n{"step":1}\n')
    assert read_samples(path) == []
    assert read_samples(tmp_path / "absent") == []


@pytest.mark.parametrize("row", [sample(txt="x"), {"step": 1}])
def test_a_misspelt_sample_is_a_mistake(tmp_path: Path, row: dict[str, Any]) -> None:
    with SampleWriter(tmp_path / "s", attempt=1) as samples, pytest.raises(AssertionError):
        samples.append(row)
