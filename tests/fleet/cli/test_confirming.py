"""What is asked before it is done, and only that: killing, stopping everything, pruning, and keys that changed."""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.cli.site import UNKNOWN, Site
from tests.fleet.commands import ROOT

ASKING = [["stop", "h0", "--kill"], ["stop", "h0", "--all-runs"], ["prune", "h0", "--keep", "1"], ["trust", UNKNOWN]]


@pytest.fixture
def old_release(site: Site) -> Path:
    """A release on h0 that nothing needs."""
    (site.root / "old.txt").write_text("soon old")
    release = site.fleet("deploy", "h0", "--json").data["h0"]["release"]
    for text in ("older", None):
        (site.root / "old.txt").write_text(text) if text else (site.root / "old.txt").unlink()
        site.fleet("deploy", "h0")
    return site.deploy_dir / "releases" / release


def typed(site: Site, answer: bytes, *argv: str, **variables: str) -> tuple[int, str]:
    """Run a command on a terminal and answer its question; returns its code and all that was shown."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "fleet.cli", "--config", str(site.config), *argv]
    place: dict[str, Any] = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, **variables}, **place)
    os.close(theirs)
    shown, asked = b"", False
    while True:
        try:
            piece = os.read(ours, 1 << 16)
        except OSError:
            break
        shown += piece
        if not asked and b"?" in shown:
            os.write(ours, answer)
            asked = True
        if not piece:
            break
    os.close(ours)
    return process.wait(30), shown.decode()


@pytest.mark.parametrize("command", ASKING, ids=" ".join)
def test_without_a_terminal_and_without_yes_nothing_is_done(site: Site, live: str, old_release: Path, command) -> None:
    done = site.fleet(*command, "--json", expect=2)
    assert done.json["errors"][0]["kind"] == "usage" and "terminal" in done.err
    assert site.steps(live) and old_release.is_dir()
    assert "--yes" in done.json["errors"][0]["hint"]


def test_no_means_no_and_yes_means_yes(site: Site, live: str) -> None:
    code, shown = typed(site, b"n\n", "stop", "h0", "--kill")
    assert code == 2 and "kill without saving on h0?" in shown and "nothing was done" in shown
    assert site.fleet("runs", "h0", "--state", "running", "--json").data["runs"]
    code, shown = typed(site, b"y\n", "stop", "h0", "--kill")
    assert code in (0, 12) and live in shown
    assert not site.fleet("runs", "h0", "--state", "running", "--json").data["runs"]


def test_prune_lists_before_it_asks(site: Site, old_release: Path) -> None:
    code, shown = typed(site, b"n\n", "prune", "h0", "--keep", "1")
    assert code == 2 and f"release {old_release.name}" in shown and old_release.is_dir()
    done = site.fleet("prune", "h0", "--keep", "1", "--yes", "--json")
    assert old_release.name in [item["name"] for item in done.data["h0"]["items"] if item["kind"] == "release"]
    assert not old_release.exists()
    # With nothing to remove nothing is asked.
    assert "nothing to remove" in site.fleet("prune", "h0", "--keep", "1").out


def test_a_key_is_taken_with_its_fingerprint_alone(site: Site, tmp_path: Path) -> None:
    kept = site.root / ".fleet" / "known_hosts"
    shutil.copy(kept, tmp_path / "kept")
    right = site.farm.hosts[1].host_key
    site.fleet("trust", UNKNOWN, "--fingerprint", "SHA256:" + "A" * 43, "--yes", expect=4)
    assert kept.read_text() == (tmp_path / "kept").read_text()
    [row] = site.fleet("trust", UNKNOWN, "--fingerprint", right, "--yes", "--json").data[UNKNOWN]
    assert (row["outcome"], row["fingerprint"]) == ("stored", right)
    site.fleet("status", UNKNOWN)
    shutil.copy(tmp_path / "kept", kept)
    site.fleet("status", UNKNOWN, expect=4)


def test_what_is_not_dangerous_is_not_asked(site: Site, live: str) -> None:
    site.fleet("stop", "h0")
    site.fleet("rollback", "h0", "--to", next(site.deploy_dir.glob("hosts/*/current")).resolve().name)
