"""The throughput history: a run's own numbers, in rows that only ever get appended."""

from __future__ import annotations

import multiprocessing
import statistics

import pytest

from hydra.errors import UsageError
from hydra.runs import EventWriter, MetricsWriter, RunDirectory, write_json, write_yaml
from perf import history_file
from perf.columns import COLUMNS
from perf.record import host_class, row_of


@pytest.fixture
def run(tmp_path):
    """A finished run on a GPU: 10 steps, the first of them slow."""
    found = RunDirectory.create(tmp_path, "bench")
    write_yaml(
        found.manifest,
        {
            "experiment_hash": "e" * 64,
            "code": {"commit": "c" * 40, "dirty": False},
            "layout": {"world_size": 1},
            "resolved": {"determinism": "fast"},
        },
    )
    write_json(
        found.environment,
        {
            "device": {"kind": "cuda", "name": "NVIDIA H200", "memory_bytes": 150 * 2**30},
            "host": {"cores": 16, "system": "Linux 6"},
            "versions": {"torch": "2.11.0", "python": "3.12.3", "cuda": "13.0"},
            "gpus": [{"driver_version": "580.1", "power.limit": "700.00 W"}],
        },
    )
    with MetricsWriter(found.metrics, attempt=1) as metrics:
        for step in range(1, 11):
            rate = 100.0 if step == 1 else 1000.0 + step
            metrics.append(
                {"step": step, "loss": 1.0 / step, "tokens_per_s": rate, "step_ms": 1e6 / rate, "skipped": False}
                | {"mfu_full": rate / 1e4, "mfu_causal": rate / 2e4, "memory_bytes": step * 2**30}
            )
    with EventWriter(found.events, attempt=1) as events:
        events.append("run.completed", step=10)
    return found


def test_a_row_holds_what_the_run_measured(run):
    row = row_of(run, "gpu-train-x", warmup=2)
    rates = [1000.0 + step for step in range(3, 11)]
    assert row["n"] == 8
    assert row["median"] == statistics.median(rates)
    assert row["mean"] == pytest.approx(statistics.fmean(rates))
    assert row["mfu_full_pct"] == pytest.approx(100 * row["median"] / 1e4, rel=1e-3)
    assert row["mfu_causal_pct"] == pytest.approx(row["mfu_full_pct"] / 2)
    assert row["peak_mem_mib"] == 10 * 1024
    assert row["first_step_s"] == pytest.approx(10.0)
    assert row["loss_final"] == 0.1
    assert (row["host_class"], row["gpu"], row["power_limit_w"]) == ("nvidia-h200-x1", "NVIDIA H200", "700.00")
    assert (row["status"], row["git_commit"]) == ("ok", "c" * 40)
    assert set(row) <= set(COLUMNS)


def test_a_run_without_its_end_is_not_ok(run):
    run.events.write_text("")
    assert row_of(run, "gpu-train-x", warmup=2)["status"] == "unstable"


def test_too_few_steps_are_refused(run):
    with pytest.raises(UsageError, match="after a warm-up of 9"):
        row_of(run, "gpu-train-x", warmup=9)


def test_hosts_of_a_class_share_a_name():
    assert host_class("AMD EPYC 9654 96-Core", 2) == "amd-epyc-9654-96-core-x2"


def test_rows_are_appended_under_one_header(tmp_path):
    path = tmp_path / "history" / "host.csv"
    history_file.append(path, {"schema": 1, "workload": "a", "median": 1.5})
    history_file.append(path, {"schema": 1, "workload": 'b, "quoted"', "deterministic": False})
    rows = history_file.read(path)
    assert [row["workload"] for row in rows] == ["a", 'b, "quoted"']
    assert rows[0]["median"] == "1.5"
    assert rows[0]["note"] == ""
    assert path.read_text().count("schema,timestamp_utc") == 1


def test_unknown_columns_and_other_headers_are_refused(tmp_path):
    path = tmp_path / "host.csv"
    with pytest.raises(ValueError, match="no column speed"):
        history_file.append(path, {"speed": 1})
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="other columns"):
        history_file.append(path, {"schema": 1})
    assert path.read_text() == "a,b\n1,2\n"


def _write(path, name):
    for number in range(40):
        history_file.append(path, {"workload": name, "n": number})


def test_two_writers_lose_no_row(tmp_path):
    path = tmp_path / "host.csv"
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_write, args=(path, name)) for name in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    rows = history_file.read(path)
    assert len(rows) == 80
    for name in "ab":
        assert [int(row["n"]) for row in rows if row["workload"] == name] == list(range(40))
