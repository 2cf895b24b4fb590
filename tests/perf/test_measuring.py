"""The measuring itself: percentiles, targets, slack, and an exit status that tells a miss."""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.perf.measuring import Sheet, Target, interleaved, percentile, shown
from tests.perf.tree import FILES, SIZE, Deployed, digests, make_tree


@given(st.lists(st.floats(-1e6, 1e6), min_size=1))
def test_percentiles(values: list[float]) -> None:
    assert percentile(values, 0) == min(values) and percentile(values, 1) == max(values)
    assert percentile(values, 0.5) == pytest.approx(statistics.median(values))
    shares = [percentile(values, share / 10) for share in range(11)]
    assert all(low <= high + 1e-9 * max(1, abs(high)) for low, high in itertools.pairwise(shares))


def test_no_values_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)
    with pytest.raises(ValueError, match="nothing was measured"):
        Sheet("empty").series("a", [], "ms")


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (150.0, "150"), (1234.56, "1235"), (0.98765, "0.9877"), (2.2, "2.200")]
)
def test_numbers_are_shown_with_four_digits(value: float, text: str) -> None:
    assert shown(value) == text


def test_a_miss_is_told_with_its_number(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    sheet = Sheet("Speed")
    sheet.series("fast", [10, 20, 30], "ms", Target("p50", at_most=20))
    sheet.series("slow", [10, 21, 30], "ms", Target("p50", at_most=20))
    sheet.number("rate", 390, "MiB/s", Target("value", at_least=400))
    sheet.count("torn", 1, 50, at_most=0)
    assert sheet.finish(tmp_path / "out.json") == 1
    assert [line.split(":")[0] for line in sheet.missed()] == ["slow", "rate", "torn"]
    said = capsys.readouterr()
    assert "missed: slow: 21 ms, and the target is p50 ≤ 20" in said.err
    assert "| fast | 3 | 20 | 29 | 29.80 | 10 | 30 | ms | p50 ≤ 20 |" in said.out
    written = json.loads((tmp_path / "out.json").read_text())
    assert written["missed"] == sheet.missed() and written["rows"][0]["values"] == [10, 20, 30]


def test_all_met_is_zero_and_slack_never_excuses_a_count() -> None:
    sheet = Sheet("Slow machine", slack=2)
    sheet.series("slow", [39], "ms", Target("p50", at_most=20))
    sheet.number("rate", 201, "MiB/s", Target("value", at_least=400))
    assert sheet.finish() == 0
    sheet.count("torn", 1, 50, at_most=0)
    assert sheet.finish() == 1


def test_comparisons_share_the_minute() -> None:
    calls: list[str] = []
    times = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 20, warm=2)
    assert [len(values) for values in times.values()] == [20, 20]
    # Each round has both, so neither is ever two rounds ahead.
    assert all(sorted(calls[place : place + 2]) == ["a", "b"] for place in range(0, 44, 2))


@pytest.mark.needs("git")
def test_the_tree_has_the_size_that_the_targets_name(tmp_path: Path) -> None:
    assert (FILES, round(SIZE / (1 << 20), 1)) == (2078, 30.5)
    paths = make_tree(tmp_path / "a", 60, 600_000)
    assert len(set(paths)) == 60 and abs(sum(path.stat().st_size for path in paths) - 600_000) < 60
    make_tree(tmp_path / "b", 60, 600_000)
    assert digests(tmp_path / "a") == digests(tmp_path / "b")


@pytest.mark.needs("git")
def test_a_damaged_host_is_seen(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", 20, 20_000)
    wanted = digests(tmp_path / "tree")
    host = Deployed(tmp_path / "host")
    assert host.fault(wanted) is None and host.leftovers() == [], "nothing was deployed yet"
    machine, release = host.deploy_dir / "hosts" / "0123", host.deploy_dir / "releases" / "abc"
    (machine / "tmp").mkdir(parents=True)
    (machine / "current").symlink_to("../../releases/abc")
    assert "no folder" in str(host.fault(wanted))
    shutil.copytree(tmp_path / "tree", release)
    assert host.fault(wanted) is None
    assert host.torn_releases() == ["abc: no manifest"]
    chosen = next(path for path in sorted(release.rglob("*.py")))
    chosen.chmod(0o755 if chosen.stat().st_mode & 0o100 == 0 else 0o644)
    assert chosen.name in str(host.fault(wanted)), "the executable bit counts"
    chosen.unlink()
    assert chosen.name in str(host.fault({}, wanted))
    (machine / "tmp" / "up-1").mkdir()
    assert [path.name for path in host.leftovers()] == ["up-1"]
