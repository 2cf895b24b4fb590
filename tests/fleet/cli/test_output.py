"""Where things are printed: the result on stdout, all else on stderr, nothing that drives the terminal."""

from __future__ import annotations

import re

import pytest

from fleet.cli.output import visible
from tests.fleet.cli.site import OFFLINE, Site
from tests.fleet.cli.test_confirming import typed

ESCAPE = re.compile("\x1b\\[[0-9;]*m")


def test_results_and_remarks_are_apart(site: Site) -> None:
    done = site.fleet("setup", "h0")
    assert done.out.count("\n") == 1 and "ready" in done.out
    assert "is ready" in done.err
    quiet = site.fleet("setup", "h0", "--quiet")
    assert (quiet.out, quiet.err) == (done.out, "")


def test_errors_are_said_even_when_quiet_and_keep_stdout_clean(site: Site) -> None:
    done = site.fleet("deploy", f"h0,{OFFLINE}", "-q", expect=7)
    assert [line.partition(":")[0] for line in done.out.splitlines()] == ["h0"]
    for part in ("Unreachable", "why:", "fix:", "example:"):
        assert part in done.err


def test_no_host_is_hidden_by_another(site: Site) -> None:
    done = site.fleet(expect=7)
    for name in site.fleet("config", "check", "--json").data["instances"]:
        assert re.search(rf"^{name} +(up|degraded|untrusted|denied|offline)", done.out, re.M), name
    assert f"{OFFLINE}: " in done.err


@pytest.mark.parametrize("how", ["option", "variable"])
def test_colours_only_on_a_terminal_and_only_if_wanted(site: Site, how: str) -> None:
    assert not ESCAPE.search(site.fleet("status", "h0").out)
    assert ESCAPE.search(typed(site, b"", "status", "h0")[1])
    options, variables = (["--no-color"], {}) if how == "option" else ([], {"NO_COLOR": "1"})
    shown = typed(site, b"", "status", "h0", *options, **variables)[1]
    assert set(ESCAPE.findall(shown)) <= {"\x1b[1m", "\x1b[0m", "\x1b[m"}, "bold is no colour"


def test_what_a_host_says_cannot_drive_the_terminal(site: Site) -> None:
    assert visible("a\x1b[2Jb\rc\x07\u202ed") == "a\\x1b[2Jb\\rc\\x07\\u202ed"
    run = site.train("hostile", "show=BAD", steps=1)
    events = site.run(run) / "events.jsonl"
    events.write_text(events.read_text().replace("run.completed", "run.completed\\u001b[2J"))
    assert "\x1b" not in site.fleet("events", "h0", "--run", run).out
    site.remove(run)


def test_tables_are_not_cut_where_nobody_looks(site: Site) -> None:
    out = site.fleet("runs", "h0").out
    assert site.done in out and site.failed in out and "ValueError" not in out.splitlines()[0]
    assert all(not line.endswith(" ") for line in out.splitlines())


def test_watching_repeats_until_it_is_interrupted(site: Site) -> None:
    with site.fleet.process("--watch", "0.5", "--json") as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(2)
        process.communicate(timeout=20)
    assert all('"schema": "fleet.overview/1"' in line for line in lines) and process.returncode == 130
