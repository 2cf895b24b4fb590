"""How a command line is understood: options anywhere before `--`, nothing behind it, targets by name."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest

from fleet.cli.commands import COMMANDS
from fleet.cli.options import split
from tests.fleet.cli.site import Site
from tests.fleet.commands import ROOT


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize("joined", [False, True])
def test_global_options_stand_anywhere_before_the_rest(site: Site, where: str, joined: bool) -> None:
    values = ["--timeout=30", "--jobs=2"] if joined else ["--timeout", "30", "--jobs", "2"]
    options = ["--json", "--dry-run", "--yes", "--quiet", "-v", "--no-color", *values]
    rest = ["--", "echo", "--json", "-h", "--no-such-option"]
    argv = [*options, "run", "h0", *rest] if where == "before" else ["run", "h0", *options, *rest]
    done = site.fleet(*argv)
    assert done.data["h0"]["argv"] == rest[1:]
    assert done.err == ""


def test_what_follows_the_dashes_is_passed_on_as_it_is(site: Site) -> None:
    words = ["a b", "", "*", "$HOME", "'", '"', "\\", "--", "-h", "--help", "--json", "line\nbreak", "~", ";", "ü"]
    done = site.fleet("run", "h0", "--", "printf", r"[%s]\n", *words)
    assert done.out == "".join(f"[{word}]\n" for word in words)


def test_one_text_for_the_remote_shell(site: Site) -> None:
    assert site.fleet("run", "h0", "--shell", "--", "echo $FLEET_HOST | tr h H").out == "H0\n"
    site.fleet("run", "h0", "--shell", "--", "echo", "two words", expect=2)


def test_folder_variables_and_stdin(site: Site) -> None:
    done = site.fleet(
        "run", "h0", "--cwd", "/usr", "--env", "ONE=1 2", "--env=TWO==", "--", "sh", "-c", "pwd; echo $ONE$TWO"
    )
    assert done.out == "/usr\n1 2=\n"
    with site.fleet.process("run", "h0", "--stdin", "--", "wc", "-c", stdin=subprocess.PIPE) as process:
        assert process.communicate("12345", timeout=30)[0].strip() == "5"
    site.fleet("run", "h0,h1", "--stdin", "--", "cat", expect=2)
    for wrong in ("NOEQUALS", "9x=1", "A=two\nlines"):
        site.fleet("run", "h0", "--env", wrong, "--", "true", expect=2)


def test_an_input_that_says_nothing_holds_up_nothing(site: Site) -> None:
    """Whoever types reads first; and a command that ends waits for no further line."""
    script = "echo ready; read line; echo got $line; exec 0<&-; exit 3"
    with site.fleet.process("run", "h0", "--stdin", "--", "sh", "-c", script, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        stuck = threading.Timer(30, process.kill)
        stuck.start()
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("word\n")
        process.stdin.flush()
        assert process.stdout.readline() == "got word\n"
        assert process.wait(30) == 3
        stuck.cancel()


def test_output_of_several_hosts_is_told_apart(site: Site) -> None:
    script = "echo out-$FLEET_HOST; echo err-$FLEET_HOST >&2; printf open-$FLEET_HOST"
    done = site.fleet("run", "h0,h1", "--", "sh", "-c", script)
    expected = [f"{name} | {word}-{name}" for name in ("h0", "h1") for word in ("open", "out")]
    assert sorted(done.out.splitlines()) == sorted(expected)
    assert sorted(done.err.splitlines()) == [f"{name} | err-{name}" for name in ("h0", "h1")]
    # From one host it comes as it is.
    assert site.fleet("run", "h0", "--", "sh", "-c", script).out == "out-h0\nopen-h0"


@pytest.mark.parametrize(
    ("target", "hosts"),
    [("h0", ["h0"]), ("pair", ["h0", "h1"]), ("h1,h0", ["h1", "h0"]), ("pair,h1,h3", ["h0", "h1", "h3"])],
)
def test_targets(site: Site, target: str, hosts: list[str]) -> None:
    assert list(site.fleet("run", target, "--json", "--dry-run", "--", "true").data) == hosts


def test_all_hosts(site: Site) -> None:
    every = ["h0", "h1", "h2", "h3", "offline", "unknown", "changed", "denied", "hung", "kept"]
    assert list(site.fleet("run", "--all", "--json", "--dry-run", "--", "true").data) == every


TAKING_ALL = ("deploy", "setup", "logs", "prune", "rollback")


@pytest.mark.parametrize(
    ("command", "target"),
    [(one, target) for one in (*TAKING_ALL, "train", "stop", "download") for target in ([], ["h9"], ["h0,"])]
    + [(one, ["h0", "--all"]) for one in TAKING_ALL],
    ids=lambda value: value if isinstance(value, str) else " ".join(value) or "none",
)
def test_a_wrong_target_lists_the_right_ones(site: Site, command: str, target: list[str]) -> None:
    done = site.fleet(command, *target, expect=2)
    assert "h0, h1, h2, h3" in done.err and "pair" in done.err


def test_help_of_everything_and_versions(site: Site) -> None:
    whole = site.fleet("--help").out
    assert all(name in whole for name in COMMANDS)
    for name in COMMANDS:
        shown = site.fleet(name, "--help").out
        assert shown.startswith(f"Usage: fleet {name} ") and len(shown) > 200, shown
    assert site.fleet("--version").out.startswith("fleet ")


@pytest.mark.parametrize(
    "argv",
    [
        ["deploy", "h0", "--", "more"],
        ["--", "more"],
        ["deploy", "h0", "extra"],
        ["nothing"],
        ["status", "--timeout"],
        ["status", "--jobs", "0"],
        ["status", "--timeout", "nan"],
        ["--watch", "1", "status"],
        ["logs", "h0", "-n", "many"],
        ["logs", "h0", "--since", "yesterday"],
        ["logs", "h0", "--grep", "("],
        ["logs", "h0", "--cached"],
        ["logs", "h0", "--cached", "-f", "--run", "x"],
        ["events", "h0", "--level", "loud"],
        ["setup", "h0", "--reuse-torch", "--isolated"],
        ["train", "h0", "--gpus", "a"],
        ["train", "h0", "--gpus", "7"],
        ["train", "h0", "no/such/manifest.yaml"],
        ["train", "h0", "--", "--resume", "latest"],
        ["train", "h0", "--", "--set"],
        ["train", "h0", "--", "--set", "training.stepz=4"],
        ["resume", "h0", "--", "--changed", "training.steps"],
        ["resume", "h0", "--release", "newest"],
        ["rollback", "h0", "--to", "not-hex"],
        ["download", "h0,h1"],
        ["run", "h0"],
        ["trust", "h0", "--yes"],
        ["sync-keys", "h0", "--key", "/no/such/file.pub"],
        ["config", "show", "h9"],
        ["config"],
    ],
    ids=" ".join,
)  # fmt: skip
def test_what_cannot_be_meant_is_refused(site: Site, argv: list[str]) -> None:
    done = site.fleet(*argv, expect=2)
    assert done.out == "" and done.err


@pytest.mark.parametrize("argv", [["logs", "h0", "-n"], ["resume", "h0", "--step"]], ids=" ".join)
def test_a_number_beyond_all_range_is_told_as_one(site: Site, argv: list[str]) -> None:
    assert "Invalid value" in site.fleet(*argv, str(10**20), expect=2).err


def test_a_file_that_is_wrong_is_refused_before_any_network(site: Site, tmp_path) -> None:
    (tmp_path / "fleet.json").write_text('{"version": 1, "project": "x", "instances": {"a": {"host": "h", "prot": 1}}}')
    done = site.fleet("--config", str(tmp_path / "fleet.json"), "status", expect=2)
    assert "prot" in done.err and 'did you mean "port"' in done.err
    assert not (tmp_path / ".fleet" / "audit.jsonl").exists()


def test_the_file_is_found_above_the_working_folder(site: Site, tmp_path) -> None:
    argv = [sys.executable, "-m", "fleet.cli", "config", "check"]
    # Another PYTHONPATH would not change what is imported here, only where from.
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    found = subprocess.run(argv, cwd=site.root / "manifests", env=environment, capture_output=True, text=True)
    assert found.returncode == 0 and "10 instances, 1 groups" in found.stdout
    lost = subprocess.run(argv, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert lost.returncode == 2 and "fleet config example" in lost.stderr


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("fleet dep", {"deploy"}),
        ("fleet deploy h", {"h0", "h1", "h2", "h3", "hung"}),
        ("fleet deploy h0,pa", {"h0,pair"}),
        ("fleet logs h0 --fol", {"--follow"}),
        ("fleet config sc", {"schema"}),
        ("fleet runs --show no-such-run", set()),
    ],
)
def test_the_shell_completes_names_and_options(site: Site, typed: str, offered: set[str]) -> None:
    count = str(len(typed.split()) - 1)
    variables = {"_FLEET_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": count, "PYTHONPATH": str(ROOT)}
    argv = [sys.executable, "-m", "fleet.cli"]
    done = subprocess.run(argv, cwd=site.root, env={**os.environ, **variables}, capture_output=True, text=True)
    assert set(done.stdout.split()) == offered, done


def test_options_are_moved_and_the_rest_is_left() -> None:
    assert split(["deploy", "a", "-qv", "--config=x", "--jobs", "3", "--all", "--", "--json", "--"]) == (
        ["-qv", "--config=x", "--jobs", "3", "deploy", "a", "--all"],
        ("--json", "--"),
    )
