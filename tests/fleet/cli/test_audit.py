"""The audit trails: who changed what, here and on the host, without secrets."""

from __future__ import annotations

import json
import os
import pwd
import stat
import time
from pathlib import Path
from typing import Any

from tests.fleet.cli.site import CANARY, OFFLINE, Site


def rows(path: Path) -> list[dict[str, Any]]:
    """The records of a trail."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


class Trails:
    """What was added to both trails since this was made."""

    def __init__(self, site: Site) -> None:
        self._places = [site.root / ".fleet" / "audit.jsonl", site.deploy_dir / "audit.jsonl"]
        self._before = [len(rows(place)) for place in self._places]

    def added(self) -> list[list[dict[str, Any]]]:
        """Here, and on h0."""
        return [rows(place)[count:] for place, count in zip(self._places, self._before, strict=True)]


def test_a_record_says_who_what_where_and_how_it_ended(site: Site) -> None:
    (site.root / "audited.txt").write_text(str(time.time()))
    trails, began = Trails(site), time.time()
    done = site.fleet("deploy", f"h0,{OFFLINE}", "--json", expect=7)
    (site.root / "audited.txt").unlink()
    [here], [there] = trails.added()
    assert here == there
    assert here["user"] == pwd.getpwuid(os.getuid()).pw_name and began <= here["time"] <= time.time()
    assert here["action"] == "deploy" and here["targets"] == ["h0", OFFLINE]
    assert here["argv"] == ["fleet", "--config", str(site.config), "deploy", f"h0,{OFFLINE}", "--json"]
    assert done.data["h0"]["release"] in here["result"] and f"{OFFLINE} failed" in here["result"]
    assert len(here["plan_digest"]) == 64
    assert stat.S_IMODE((site.root / ".fleet" / "audit.jsonl").stat().st_mode) == 0o600
    assert stat.S_IMODE((site.deploy_dir / "audit.jsonl").stat().st_mode) == 0o600


def test_every_changing_action_is_recorded_and_looking_is_not(site: Site, tmp_path: Path) -> None:
    trails = Trails(site)
    run = site.train("audited", "pause=0.02", steps=100000, wait=False)
    site.fleet("stop", "h0")
    site.fleet("resume", "h0", "--run", run)
    site.fleet("stop", "h0", "--kill", "--yes", expect=None)
    site.fleet("setup", "h0", "--recreate")
    release = next(site.deploy_dir.glob("hosts/*/current")).resolve().name
    site.fleet("rollback", "h0", "--to", release)
    site.fleet("sync-keys", "h0", "--remove", "--key", str(site.other.path) + ".pub")
    site.fleet("sync-keys", "h0", "--key", str(site.other.path) + ".pub")
    site.fleet("sync-keys", "h0", "--remove", "--key", str(site.other.path) + ".pub")
    site.fleet("download", "h0", "--run", site.done, "--to", str(tmp_path))
    site.fleet("run", "h0", "--", "true")
    for looking in (["status"], ["runs"], ["ps"], ["doctor"], ["logs", "-n", "1"], ["events"], ["gpuinfo"]):
        site.fleet(looking[0], "h0", *looking[1:])
    site.fleet("deploy", "h0", "--dry-run")
    here, there = ([row["action"] for row in trail] for trail in trails.added())
    on_both = ["train", "stop", "resume", "stop", "setup", "rollback", "sync-keys", "sync-keys"]
    # A key that was not there, a download and a command of the user change nothing of ours on the host.
    assert there == on_both
    assert here == [*on_both[:6], "sync-keys", *on_both[6:], "download", "run"]


def test_failures_are_recorded_too(site: Site) -> None:
    trails = Trails(site)
    site.start("h0", "dies", "die=2", expect=8)
    [here], [there] = trails.added()
    assert here["action"] == there["action"] == "train" and "failed" in here["result"] and "dies-" in here["result"]


def test_secrets_of_a_command_line_are_not_written(site: Site) -> None:
    trails = Trails(site)
    words = ["--env", "LEVEL=very-private-1", "--env=HF_TOKEN=very-private-2", "--", "echo", CANARY, "password=abc"]
    site.fleet("run", "h0", *words)
    [[here], []] = trails.added()
    text = json.dumps(here)
    for secret in ("very-private", CANARY, "abc"):
        assert secret not in text
    assert "LEVEL=***" in text and "HF_TOKEN=***" in text


def test_a_host_that_cannot_keep_the_record_is_a_warning(site: Site) -> None:
    trail = site.deploy_dir / "audit.jsonl"
    kept = trail.rename(trail.with_name("kept"))
    trail.mkdir()
    (site.root / "audited.txt").write_text(str(time.time()))
    try:
        done = site.fleet("deploy", "h0", "--json")
    finally:
        trail.rmdir()
        kept.rename(trail)
        (site.root / "audited.txt").unlink()
    assert "h0: its audit log cannot be written" in done.json["warnings"]
