"""Options of `fleet logs` and `fleet events`: which run, which lines, from where, and with the host down."""

from __future__ import annotations

import pytest

from tests.fleet.cli.site import OFFLINE, Site


def texts(out: str) -> list[str]:
    """The lines that were printed."""
    return out.splitlines()


def test_the_live_run_else_the_newest_unless_one_is_named(site: Site) -> None:
    assert texts(site.fleet("logs", "h0", "--run", site.done, "-n", "2").out) == ["step 11", "step 12"]
    assert "step 12" in site.fleet("logs", "h0", "--run", site.done[:12]).out, "a unique beginning names it too"
    live = site.live()
    assert site.fleet("logs", "h0", "-n", "1", "--json").lines[0]["cursor"] > 0
    assert site.fleet("events", "h0", "--json").lines[0]["data"] is not None
    site.fleet("stop", "h0", "--run", live)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["-n", "0"], []),
        (["-n", "1"], ["step 12"]),
        (["--grep", r"step 1[01]$"], ["step 10", "step 11"]),
        (["--grep", "begins", "-n", "5"], ["begins at step 0"]),
        (["--rank", "0", "-n", "1"], ["step 12"]),
        (["--rank", "1"], []),
        (["--since", "1h", "-n", "1"], ["step 12"]),
        (["--since", "0s"], []),
    ],
    ids=" ".join,
)
def test_which_lines(site: Site, options: list[str], expected: list[str]) -> None:
    assert texts(site.fleet("logs", "h0", "--run", site.done, *options).out) == expected


def test_a_cursor_goes_on_exactly_behind_its_line(site: Site) -> None:
    whole = site.fleet("logs", "h0", "--run", site.done, "--since", "0", "--json").lines
    numbers = [line["seq"] for line in whole]
    assert numbers == list(range(numbers[0], numbers[0] + len(whole)))
    for line in whole[::5]:
        rest = site.fleet("logs", "h0", "--run", site.done, "--since", str(line["cursor"]), "--json").lines
        assert [one["seq"] for one in rest] == [number for number in numbers if number > line["seq"]]
    assert site.fleet("logs", "h0", "--run", site.done, "--since", "99999999", expect=2).out == ""


def test_what_was_followed_is_here_when_the_host_is_down(site: Site) -> None:
    followed = site.fleet("logs", "h0", "--run", site.failed, "--since", "0", "-f", expect=8).out
    nothing = site.fleet("logs", "h1", "--run", site.failed, "--cached")
    assert nothing.out == "" and "nothing of run" in nothing.err
    site.farm.stop_host(0)
    try:
        site.fleet("logs", "h0", "--run", site.failed, expect=3)
        assert site.fleet("logs", "h0", "--run", site.failed, "--cached", "-n", "1000").out == followed
        last = site.fleet("logs", "h0", "--run", site.failed, "--cached", "-n", "2", "--json").lines
        assert [line["text"] for line in last] == followed.splitlines()[-2:]
        assert (
            site.fleet("logs", "h0", "--run", site.failed, "--cached", "--grep", "begins").out == "begins at step 0\n"
        )
        cursor = str(last[0]["cursor"])
        [rest] = site.fleet("logs", "h0", "--run", site.failed, "--cached", "--since", cursor, "--json").lines
        assert rest == last[1]
        site.fleet("logs", "h0", "--run", site.failed, "--cached", "--since", "10m", expect=2)
    finally:
        site.farm.restart_host(0)


def test_one_bad_host_hides_no_other(site: Site) -> None:
    done = site.fleet("logs", f"h0,{OFFLINE},h1", "--run", site.done, "-n", "1", expect=7)
    assert texts(done.out) == ["step 12"]
    assert f"{OFFLINE}" in done.err and "Unreachable" in done.err and "h1 has no runs" in done.err
    rows = site.fleet("events", f"h0,{OFFLINE}", "--run", site.done, "--json", expect=7).lines
    assert [row["host"] for row in rows if row["kind"] == "error"] == [OFFLINE]
    assert any(row["kind"] == "run.completed" for row in rows)


def test_following_ends_with_the_run(site: Site) -> None:
    completed = site.fleet("logs", "h0", "--run", site.done, "-f", "-n", "1")
    assert texts(completed.out) == ["step 12"] and "the run ended: completed" in completed.err
    failed = site.fleet("logs", "h0", "--run", site.failed, "-f", "-n", "1", expect=8)
    assert "the run ended: failed (code 3" in failed.err and "no good" in failed.err


@pytest.mark.parametrize(
    ("options", "kinds"),
    [
        (["--kind", "checkpoint"], {"checkpoint.saved"}),
        (["--kind", "run.failed"], {"run.failed"}),
        (["--kind", "checkpoint."], {"checkpoint.saved"}),
        (["--kind", "guard"], set()),
        (["--level", "error"], {"run.failed"}),
        (["--level", "warning"], {"run.failed"}),
    ],
    ids=" ".join,
)
def test_which_events(site: Site, options: list[str], kinds: set[str]) -> None:
    done = site.fleet("events", "h0", "--run", site.failed, *options, "--json")
    assert {row["kind"] for row in done.lines} == kinds


@pytest.mark.parametrize(
    ("argv", "known"),
    [
        (["events", "h0", "--kind", "check"], "checkpoint.saved"),
        (["events", "h0", "--kind", "run.zzz"], "run.completed"),
        (["events", "h0", "--kind", ""], "guard.spike"),
        (["events", "h0", "--level", "zzz"], "info, warning, error"),
        (["runs", "h0", "--state", "zzz"], "backoff, running, starting, stopping, completed"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_selection_that_can_never_fit_is_refused_with_the_right_ones(site: Site, argv: list[str], known: str) -> None:
    done = site.fleet(*argv, "--json", expect=2)
    assert known in done.json["errors"][0]["message"] and known in done.err


def test_runs_and_their_rows(site: Site) -> None:
    rows = {row["id"]: row for row in site.fleet("runs", "h0", "--json").data["runs"]}
    done, failed = rows[site.done], rows[site.failed]
    assert (done["state"], done["step"], done["checkpoint"], done["attempt"]) == ("completed", 12, 12, 1)
    assert done["duration"] > 0 and done["release"] and done["exit"]["code"] == 0
    assert failed["state"] == "failed" and "no good" in failed["reason"]
    assert {row["id"] for row in site.fleet("runs", "--state", "failed", "--json", expect=7).data["runs"]} >= {
        site.failed
    }
    assert site.fleet("runs", "h0", "--state", "oom").out.splitlines()[1:] == []


def test_the_record_of_a_run_and_the_difference_of_two(site: Site) -> None:
    [shown] = site.fleet("runs", "h0", "--show", site.done, "--json").data.values()
    record = shown["record"]
    assert (
        record["host"] == "h0"
        and record["release"] == shown["release"]
        and record["environment"]["packages"] is not None
    )
    assert {row["name"]: row["from"] for row in record["settings"]}["training.steps"] == "command line"
    assert len(record["source"]["commit"]) == 40 and record["source"]["digest"].startswith(record["release"])
    assert "WANDB_API_KEY" not in record
    changes = {row["name"]: (row["a"], row["b"]) for row in _diff(site)}
    assert "release" not in changes
    site.fleet("runs", "h0", "--diff", site.done, "nothing", expect=9)


def _diff(site: Site) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = site.fleet("runs", "h0", "--diff", site.done, site.failed, "--json").data["diff"]
    return rows
