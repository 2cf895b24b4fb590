"""Starting, resuming and stopping: who decided what, when a run counts as started, and what a stop proves."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.farm.processes import end_all, process
from tests.fleet.cli.site import Site


def test_every_setting_says_who_decided_it(site: Site) -> None:
    text = json.loads(site.config.read_text())
    text["defaults"]["overrides"] = {"training.log_every": 3, "checkpoint.every": 4}
    text["instances"]["h0"]["overrides"] = {"checkpoint": {"every": 5}, "optimizer.lr": 1e-3}
    text["groups"]["pair"]["overrides"] = {"evaluation": {"every": 9}}
    config = site.root / "other.json"
    config.write_text(json.dumps(text))
    argv = ["--config", str(config), "train", "h0", "--dry-run", "--json", "--", "--set", "training.log_every=7"]
    settings = {row["name"]: row for row in site.fleet(*argv).data["h0"]["settings"]}
    config.unlink()
    found = {name: (row["value"], row["from"]) for name, row in settings.items()}
    assert found["training.device"] == ("cpu", "profile cpu")
    assert found["checkpoint.every"][0] == 5 and found["checkpoint.every"][1].startswith(
        "other.json instances.h0.overrides"
    )
    assert found["training.log_every"] == (7, "command line (other.json defaults.overrides said 3)")
    # The manifest has its own learning rate, which beats fleet.json and is not passed again.
    [rate] = [value for name, value in found.items() if name.startswith("optimizer")]
    assert (rate[0] == 3e-3 and rate[1].startswith("manifests/default.yaml")) or "default.yaml" in rate[1]


def test_the_table_of_settings_and_the_line_to_follow(site: Site) -> None:
    done = site.fleet("train", "h0", "--name", "table", "--", "--set", "training.steps=3")
    assert done.out.splitlines()[0].split() == ["setting", "value", "from"]
    assert "h0: started table-" in done.out and "(attempt 1) on h0: " in done.out
    assert "follow it: fleet logs h0 -f --run table-" in done.err


def test_a_start_can_be_followed_to_its_end(site: Site) -> None:
    done = site.fleet("train", "h0", "--name", "followed", "--follow", "--", "--set", "training.steps=4")
    assert "begins at step 0\nstep 1\nstep 2\nstep 3\nstep 4\n" in done.out
    run = site.newest()
    failing = ["--", "--set", 'notes="fail=3 pause=0.3"', "--set", "training.steps=3"]
    rows = [json.loads(line) for line in site.fleet("train", "h0", "-f", "--json", *failing, expect=8).out.splitlines()]
    assert rows[0]["schema"] == "fleet.train/1" and rows[-1]["kind"] == "ended"
    again = site.fleet("resume", "h0", "--run", run, "--follow", expect=None)
    assert "begins at step 0" not in again.out, "only the log of this attempt"


def test_a_silent_trainer_counts_as_started_when_it_lives(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fleet.control.launching.CONFIRM", 1.0)
    started = site.start("h0", "silent", "mute pause=0.05", steps=100000).data["h0"]
    assert (started["state"], started["confirmed"]) == ("running", "alive")


def test_a_start_that_will_be_tried_again_says_so(site: Site) -> None:
    done = site.start("h0", "again", "die=1 say=out-of-luck", expect=8)
    message = done.json["errors"][0]["message"]
    assert "out-of-luck" in message and re.search(r"tried again in \d+ s", message)
    assert f"fleet stop h0 --run {site.newest()}" in done.json["errors"][0]["hint"]


def test_devices_are_reserved_by_their_identity(site: Site) -> None:
    started = site.start("h3", "gpu", "pause=0.05", "--gpus", "0", steps=100000).data["h3"]
    assert len(started["gpus"]) == 1 and started["gpus"][0].startswith("GPU-")
    same = site.start("h3", "same", "", "--gpus", "0", expect=6)
    assert started["run"] in same.json["errors"][0]["message"]
    name = site.start("h3", "gpu", "", "--gpus", "1", expect=6)
    assert "run name gpu" in name.json["errors"][0]["message"] and started["run"] in name.json["errors"][0]["message"]
    site.start("h3", "other", "pause=0.05", "--gpus", "1", steps=100000)
    live = site.fleet("runs", "h3", "--state", "running", "--json").data["runs"]
    assert {len(row["gpus"]) for row in live} == {1} and len(live) == 2
    several = site.fleet("stop", "h3", "--json", expect=2)
    assert all(row["id"] in several.json["errors"][0]["message"] for row in live)
    stopped = site.fleet("stop", "h3", "--all-runs", "--yes", "--json").data["h3"]
    assert {row["run"] for row in stopped} == {row["id"] for row in live}
    assert all(row["proven"] and not row["survivors"] for row in stopped)


def test_a_health_block_can_be_overridden(site: Site) -> None:
    done = site.start("h2", "forced", "", "--force", steps=2)
    assert any("nvidia-smi" in warning for warning in done.data["h2"]["warnings"])


def test_less_free_disk_than_fleet_json_wants_is_a_warning_everywhere(site: Site) -> None:
    text = json.loads(site.config.read_text())
    text["defaults"]["limits"] = {"min_free_gib": 1000000}
    config = site.root / "other.json"
    config.write_text(json.dumps(text))
    chosen = ["--config", str(config)]
    wanted = "1e+06 GiB should be"
    [check] = [row for row in site.fleet(*chosen, "doctor", "h0", "--json").data["checks"] if row["id"] == "host.disk"]
    assert check["status"] == "warn" and wanted in check["evidence"]
    [host] = site.fleet(*chosen, "status", "h0", "--json").data["hosts"]
    assert [row["state"] for row in host["health"] if wanted in row["evidence"]] == ["warning"]
    started = site.fleet(*chosen, "train", "h0", "--json", "--", "--set", "training.steps=2").data["h0"]
    assert any(wanted in warning for warning in started["warnings"])
    config.unlink()


def test_a_stop_tells_what_is_saved(site: Site, live: str) -> None:
    done = site.fleet("stop", "h0")
    steps = site.steps(live)
    assert done.out == f"h0: {live}: stopped; checkpoint step {steps} verified\n"
    assert site.fleet("stop", "h0", "--run", live).out == f"h0: {live}: already stopped\n"
    assert site.fleet("stop", "h0").out == "h0: no live run\n"
    assert site.fleet("resume", "h0", "--run", live, "--json").data["h0"]["resumed_from"] == steps


def test_a_lost_run_is_explained_and_can_be_continued(site: Site, live: str) -> None:
    supervisor = json.loads((site.run(live) / "state.json").read_text())["supervisor"]
    rows = site.fleet("ps", "h0", "--json").data["processes"]
    assert {row["role"] for row in rows} >= {"supervisor", "rank"} and supervisor["pid"] in [row["pid"] for row in rows]
    end_all([found for row in rows if (found := process(row["pid"])) is not None])
    shown = site.fleet("status", "h0")
    assert f"continue it: fleet resume h0 --run {live}" in shown.err
    [row] = site.fleet("runs", "h0", "--state", "lost", "--json").data["runs"]
    assert row["id"] == live and row["reason"]
    assert "the run is lost" in site.fleet("logs", "h0", "--run", live, "-f", "-n", "0", expect=8).err
    site.fleet("events", "h0", "--run", live, "-f", expect=8)
    assert site.fleet("resume", "h0", "--json").data["h0"]["run"] == live
    assert site.fleet("stop", "h0", "--json").data["h0"][0]["proven"]


def test_a_resume_takes_everything_from_the_record(site: Site) -> None:
    run = site.train("kept", "pause=0.02 show=LEVEL", steps=100000, wait=False)
    site.fleet("stop", "h0", "--run", run)
    before = json.loads((site.run(run) / "launch.json").read_text())
    site.fleet("resume", "h0")
    now = json.loads((site.run(run) / "launch.json").read_text())
    for field in ("release", "environment", "argv", "env", "secrets", "gpus", "nproc", "max_restarts", "name"):
        assert now[field] == before[field], field
    assert now["resume_argv"][:2] == ["trainer.py", "--resume"] and now["attempt"] == 2
    record = json.loads((site.run(run) / "run.json").read_text())
    assert [row["attempt"] for row in record["resumed"]] == [2] and record["resumed"][0]["changes"] == []


def test_what_a_stored_run_cannot_take_is_refused(site: Site) -> None:
    # The stand-in trainer stores no settings, so nothing can be changed in its runs.
    site.fleet("resume", "h0", "--run", site.failed, "--", "--set", "training.steps=50", expect=2)
    site.fleet("resume", "h1", "--run", site.failed, expect=9)
    site.fleet("resume", "h0", "--run", site.failed, "--step", "999", expect=9)


def test_a_group_downloads_from_its_first_host(site: Site, tmp_path: Path) -> None:
    fetched = site.fleet("download", "pair", "--run", site.done, "--to", str(tmp_path), "--json").data
    assert list(fetched) == ["h0"]


def test_a_host_may_take_less_than_others(site: Site) -> None:
    text = json.loads(site.config.read_text())
    text["instances"]["h1"]["limits"] = {"max_upload_mib": 1}
    config = site.root / "other.json"
    config.write_text(json.dumps(text))
    (site.root / "large.bin").write_bytes(b"x" * (2 << 20))
    try:
        done = site.fleet("--config", str(config), "deploy", "h1", "--dry-run", expect=2)
        site.fleet("--config", str(config), "deploy", "h1", "--dry-run", "--max-size", "5")
        site.fleet("--config", str(config), "deploy", "h0", "--dry-run")
    finally:
        config.unlink()
        (site.root / "large.bin").unlink()
    assert "the tree has 2 MiB, and h1 takes 1" in done.err


def test_downloads(site: Site, tmp_path: Path) -> None:
    to = tmp_path / "to"
    first = site.fleet("download", "h0", "--run", site.done, "--to", str(to), "--json").data["h0"]
    assert first["path"] == str(to) and first["outcome"]["steps"] == [12]
    again = site.fleet("download", "h0", "--run", site.done, "--to", str(to), "--json").data["h0"]
    assert again["outcome"]["bytes_received"] == 0 and again["outcome"]["files"] == first["outcome"]["files"]
    chosen = ["--include", "*.json", "--exclude", "launch.json", "--checkpoint", "none"]
    some = site.fleet("download", "h0", "--run", site.done, "--to", str(tmp_path / "some"), *chosen, "--json").data[
        "h0"
    ]
    names = {path.name for path in (tmp_path / "some").rglob("*") if path.is_file()}
    assert some["outcome"]["steps"] == [] and "run.json" in names and not names & {"launch.json", "metrics.jsonl"}
    every = site.fleet("download", "h0", "--run", site.done, "--checkpoint", "all", "--json").data["h0"]
    assert every["outcome"]["steps"] == [10, 12] and every["path"] == str(site.root / "runs" / site.done)
    site.fleet("download", "h0", "--run", site.done, "--checkpoint", "77", expect=9)
    nothing = site.fleet("download", "h0", "--run", site.done, "--include", "no-such-file", expect=9)
    assert nothing.out == "" and "metrics.jsonl" in nothing.err
    site.fleet("download", "h0", "--run", site.done, "--include", "[", "--dry-run", expect=2)
