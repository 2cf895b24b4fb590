"""What --json prints: one object a command, of the published schema, whatever happens."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleet.cli.commands import COMMANDS
from fleet.cli.outputs import schemas
from tests.fleet.cli.schema_check import faults
from tests.fleet.cli.site import OFFLINE, Site
from tests.fleet.commands import Done

GOLDEN = Path(__file__).with_name("outputs.golden.jsonl")
SCHEMAS = schemas()
#: Commands that answer with one object, by the name of their schema. `{run}` is a completed run of h0, `{other}` a
#: failed one, `{release}` h0's release.
ANSWERS = {
    "overview": [],
    "status": ["status"],
    "runs": ["runs", "--state", "completed"],
    "runs-show": ["runs", "h0", "--show", "{run}"],
    "runs-diff": ["runs", "h0", "--diff", "{run}", "{other}"],
    "ps": ["ps"],
    "doctor": ["doctor", "h0"],
    "gpuinfo": ["gpuinfo", "h0,h3", "--full"],
    "deploy": ["deploy", "h0"],
    "deploy-plan": ["deploy", "h0,h1", "--dry-run"],
    "rollback": ["rollback", "h0", "--to", "{release}"],
    "rollback-list": ["rollback", "h0", "--list"],
    "rollback-plan": ["rollback", "h0", "--to", "{release}", "--dry-run"],
    "setup": ["setup", "h0"],
    "setup-plan": ["setup", "h0", "--dry-run"],
    "prune": ["prune", "h0", "--yes"],
    "prune-plan": ["prune", "h0", "--dry-run"],
    "train-plan": ["train", "h0,h3", "--gpus", "all", "--dry-run"],
    "resume-plan": ["resume", "h0", "--run", "{other}", "--dry-run"],
    "stop": ["stop", "h0", "--run", "{run}"],
    "stop-plan": ["stop", "h0,h1", "--dry-run"],
    "download": ["download", "h0", "--run", "{run}", "--to", "{to}"],
    "download-plan": ["download", "h0", "--run", "{run}", "--dry-run"],
    "run": ["run", "h0,h1", "--", "echo", "hello"],
    "run-plan": ["run", "h0", "--env", "A=b", "--cwd", "/tmp", "--dry-run", "--", "ls", "-l"],
    "sync-keys": ["sync-keys", "h0"],
    "sync-keys-plan": ["sync-keys", "h0", "--dry-run"],
    "trust": ["trust", "h0"],
    "config-check": ["config", "check"],
    "config-show": ["config", "show", "pair"],
    "config-schema": ["config", "schema", "--outputs"],
    "config-example": ["config", "example"],
}
#: Those that are started for real, and stopped.
STARTING = {"train", "resume"}
#: Arguments that a command needs to be understood, for commands that are refused for another reason.
NEEDED = {"config": ["show"]}
REST = {"run": ["--", "true"]}


def checked(done: Done, name: str) -> Done:
    """The same, if its only line is of the schema."""
    found = faults(done.json, SCHEMAS[f"fleet.{name}/1"])
    assert not found, (found, done)
    return done


def test_every_command_has_a_schema_and_every_schema_a_test() -> None:
    names = {name.removesuffix("/1").removeprefix("fleet.") for name in SCHEMAS}
    assert names == ANSWERS.keys() | STARTING | {"logs", "events"}
    # `ssh` becomes another program, whose output is its own.
    assert COMMANDS.keys() - {"ssh"} <= {name.partition("-")[0] for name in names} | {"sync-keys"}


def test_schemas_do_not_change_by_accident() -> None:
    """A field that goes or changes its meaning breaks programs: raise VERSION. New fields: write the file anew."""
    now = "".join(json.dumps({name: SCHEMAS[name]}, sort_keys=True) + "\n" for name in sorted(SCHEMAS))
    assert GOLDEN.read_text() == now, "write fleet/cli/outputs.py's schemas into outputs.golden.jsonl if this is meant"


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_of_its_schema(site: Site, name: str, tmp_path: Path) -> None:
    [release] = (site.deploy_dir / "hosts").glob("*/current")
    words = {"run": site.done, "other": site.failed, "release": release.resolve().name, "to": str(tmp_path / "to")}
    done = site.fleet(*(word.format(**words) for word in put_json(ANSWERS[name])), expect=None)
    assert checked(done, name).data is not None
    assert done.code == (0 if name not in ("overview", "status", "runs", "ps") else done.code)


def put_json(argv: list[str]) -> list[str]:
    """The command with --json behind its words and before `--`."""
    end = argv.index("--") if "--" in argv else len(argv)
    return [*argv[:end], "--json", *argv[end:]]


def test_starting_resuming_and_stopping(site: Site) -> None:
    started = checked(site.start("h0", "json", "pause=0.02", steps=100000), "train").data["h0"]
    assert {row["name"]: row["from"] for row in started["settings"]}["training.steps"] == "command line"
    assert checked(site.fleet("ps", "h0", "--json"), "ps").data["processes"]
    assert checked(site.fleet("status", "h0", "--json"), "status").data["hosts"][0]["runs"]
    [stopped] = checked(site.fleet("stop", "h0", "--json"), "stop").data["h0"]
    resumed = checked(site.fleet("resume", "h0", "--json"), "resume").data["h0"]
    assert (resumed["run"], resumed["attempt"]) == (started["run"], 2)
    assert resumed["resumed_from"] == stopped["checkpoint"]["step"]
    assert {row["name"]: row["from"] for row in resumed["settings"]} == {
        row["name"]: row["from"] for row in started["settings"]
    }


@pytest.mark.parametrize("name", ["logs", "events"])
def test_lines_are_of_their_schema(site: Site, name: str) -> None:
    done = site.fleet(name, "h0", "--run", site.failed, "-f", "--json", expect=8)
    assert [faults(line, SCHEMAS[f"fleet.{name}/1"]) for line in done.lines] == [[]] * len(done.lines)
    assert done.lines[-1]["kind"] == "ended" and done.lines[-1]["state"] == "failed"
    cursors = [line["cursor"] for line in done.lines[:-1]]
    again = site.fleet(name, "h0", "--run", site.failed, "--since", str(cursors[1]), "--json")
    assert [line["cursor"] for line in again.lines] == cursors[2:]


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - {"config", "ssh"}))
def test_a_failure_is_an_object_too(site: Site, name: str) -> None:
    done = site.fleet(name, OFFLINE, "--json", *REST.get(name, []), expect=255 if name == "run" else 3)
    if name in ("logs", "events"):
        assert [(line["kind"], line["host"], line["error"]["code"]) for line in done.lines] == [("error", OFFLINE, 3)]
        return
    assert faults(done.json, SCHEMAS[f"fleet.{name}/1"]) == []
    assert not done.json["ok"] and [error["host"] for error in done.json["errors"]] == [OFFLINE]


@pytest.mark.parametrize("name", sorted(COMMANDS))
@pytest.mark.parametrize("wrong", [["--no-such-option"], ["nobody-has-this-name"]], ids=["option", "target"])
def test_a_usage_error_is_an_object_too(site: Site, name: str, wrong: list[str]) -> None:
    done = site.fleet(name, *NEEDED.get(name, []), *wrong, "--json", *REST.get(name, []), expect=2)
    [error] = done.json["errors"]
    assert (error["code"], error["kind"]) == (2, "usage") and wrong[0] in error["message"]
    assert done.json["data"] is None and done.err
