from __future__ import annotations

import json
import math
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hydra.runs import METRIC_UNITS, LineWriter, MetricRow, Metrics, MetricsWriter, encode, read_metrics


def written(path: Path, *rows: tuple[int, int]) -> None:
    """Append rows given as (attempt, step)."""
    with LineWriter(path) as lines:
        for attempt, step in rows:
            lines.append(encode({"schema": 1, "attempt": attempt, "step": step, "time": 0.0, "loss": 1.0}))


def steps(metrics: Metrics) -> list[tuple[int, int]]:
    return [(row["attempt"], row["step"]) for row in metrics.rows]


def test_a_row_comes_back_with_what_the_writer_adds(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path, attempt=2, clock=lambda: 12.5) as metrics:
        metrics.append({"step": 1, "loss": math.nan, "grad_norm": math.inf, "verdict": "nonfinite", "skipped": True})
        metrics.append({"step": 2, "loss": 2.5, "lr": 1e-3, "eval.bits_per_byte": 1.5, "loss_sources": {"a": 2.5}})
    assert b'"loss":"NaN"' in path.read_bytes()
    first, second = read_metrics(path)
    assert math.isnan(first["loss"])
    assert first["grad_norm"] == math.inf
    assert first["verdict"] == "nonfinite"
    assert second == {
        "schema": 1, "attempt": 2, "step": 2, "time": 12.5, "loss": 2.5, "lr": 1e-3, "eval.bits_per_byte": 1.5,
        "loss_sources": {"a": 2.5},
    }  # fmt: skip


def test_the_units_cover_the_fields() -> None:
    assert METRIC_UNITS.keys() == MetricRow.__annotations__.keys()


@pytest.mark.parametrize("row", [{"loss": 1.0}, {"step": 1.0}, {"step": 1, "los": 1.0}])
def test_a_misspelt_row_is_a_mistake(tmp_path: Path, row: dict[str, object]) -> None:
    with MetricsWriter(tmp_path / "m", attempt=1) as metrics, pytest.raises(AssertionError):
        metrics.append(row)


def test_the_trainer_may_say_when_the_step_ended_and_not_in_which_attempt(tmp_path: Path) -> None:
    with MetricsWriter(tmp_path / "m", attempt=2, clock=lambda: 9.0) as metrics:
        metrics.append({"step": 1, "time": 8.5, "attempt": 7})
    (row,) = read_metrics(tmp_path / "m")
    assert (row["time"], row["attempt"]) == (8.5, 2)


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert read_metrics(tmp_path / "m") == Metrics((), frozenset(), 0)


def test_what_is_no_row_is_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "m"
    written(path, (1, 1))
    with path.open("ab") as file:
        file.write(b'{"step": 2, "attem\n[]\n{"step":3}\n{"step":"4","attempt":1}\n')
    written(path, (1, 5))
    with path.open("ab") as file:
        file.write(b'{"schema":1,"attempt":1,"step":6')
    metrics = read_metrics(path)
    assert steps(metrics) == [(1, 1), (1, 5)]
    assert metrics.skipped == 4


def test_the_highest_attempt_wins_and_the_rest_is_marked(tmp_path: Path) -> None:
    path = tmp_path / "m"
    written(path, *[(1, step) for step in range(1, 11)])
    assert read_metrics(path).stale == frozenset()
    # Attempt 2 resumed at 5: before its first line only its event knows.
    assert read_metrics(path, resumed={2: 5}).stale == {6, 7, 8, 9, 10}
    assert len(read_metrics(path, resumed={2: 5}).rows) == 10
    written(path, (2, 6), (2, 7))
    metrics = read_metrics(path)
    assert steps(metrics) == [(1, 1), (1, 2), (1, 3), (1, 4), (1, 5), (2, 6), (2, 7), (1, 8), (1, 9), (1, 10)]
    assert metrics.stale == {8, 9, 10}
    assert [row["step"] for row in metrics.current] == [1, 2, 3, 4, 5, 6, 7]
    # Attempt 3 goes back further than attempt 2 did.
    written(path, (3, 4))
    metrics = read_metrics(path)
    assert steps(metrics)[3] == (3, 4)
    assert [row["step"] for row in metrics.current] == [1, 2, 3, 4]


def test_one_attempt_alone(tmp_path: Path) -> None:
    path = tmp_path / "m"
    written(path, (1, 1), (1, 2), (1, 3), (2, 2))
    assert steps(read_metrics(path, attempt=1)) == [(1, 1), (1, 2), (1, 3)]
    assert steps(read_metrics(path, attempt=2)) == [(2, 2)]


def test_a_fresh_start_takes_everything_back(tmp_path: Path) -> None:
    path = tmp_path / "m"
    written(path, (1, 1), (1, 2))
    assert read_metrics(path, resumed={1: 0, 2: 0}).stale == {1, 2}


def test_an_attempt_higher_in_the_file_does_not_win_by_position(tmp_path: Path) -> None:
    path = tmp_path / "m"
    written(path, (2, 1), (1, 1), (1, 2))
    assert steps(read_metrics(path)) == [(2, 1), (1, 2)]


Action = st.one_of(
    st.integers(1, 4).map(lambda count: ("train", count)),
    st.integers(0, 6).map(lambda back: ("resume", back)),
    st.integers(1, 6).map(lambda back: ("rollback", back)),
)


@given(st.lists(Action, max_size=12))
def test_current_rows_are_the_history_of_the_weights(actions: list[tuple[str, int]]) -> None:
    """Train, resume (a new attempt) and roll back (the same attempt) in any order, against a list that is cut."""
    history: list[tuple[int, int]] = []
    all_steps: set[int] = set()
    attempt, resumed = 1, {1: 0}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m"
        for kind, number in actions:
            if kind == "train":
                for _ in range(number):
                    history.append((attempt, len(history) + 1))
                    all_steps.add(len(history))
                    written(path, history[-1])
                continue
            del history[max(0, len(history) - number) :]
            if kind == "resume":
                attempt += 1
                resumed[attempt] = len(history)
            else:
                history.append((attempt, len(history) + 1))
                all_steps.add(len(history))
                written(path, history[-1])
        metrics = read_metrics(path, resumed=resumed)
    assert [(row["attempt"], row["step"]) for row in metrics.current] == history
    assert {row["step"] for row in metrics.rows} == all_steps


def test_every_line_is_json_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "m"
    with MetricsWriter(path, attempt=1) as metrics:
        metrics.append({"step": 1, "loss": -math.inf})
    assert json.loads(path.read_text())["loss"] == "-Infinity"
