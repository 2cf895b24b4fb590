"""Target 20: a known secret goes to the run, and is afterwards in one file of the host, readable by its owner alone."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.farm.processes import PROC
from tests.fleet.cli.site import CANARY, Site
from tests.fleet.commands import Done

VALUE = CANARY.encode()


def holders(*folders: Path) -> list[Path]:
    """Files below folders that hold the secret."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [path for path in files if VALUE in path.read_bytes()]


@contextmanager
def watching_command_lines() -> Iterator[list[bytes]]:
    """Look at the arguments of all processes of this machine, over and over; gives those that held the secret."""
    found: list[bytes] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.002):
            for place in PROC.glob("[0-9]*/cmdline"):
                try:
                    text = place.read_bytes()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if VALUE in text:
                    found.append(text)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()


def test_a_secret_is_nowhere_but_where_it_must_be(site: Site, tmp_path: Path) -> None:
    said: list[Done] = []

    def fleet(*argv: str, expect: int | None = 0) -> None:
        said.append(site.fleet(*argv, expect=expect))

    with watching_command_lines() as seen:
        # As processes where the arguments of this side matter too.
        site.fleet.run("deploy", "h0")
        start = ["--", "--set", 'notes="show=WANDB_API_KEY pause=0.02"', "--set", "training.steps=100000"]
        said.append(site.fleet.run("train", "h0", "--name", "canary", "--json", *start))
        run = said[-1].data["h0"]["run"]
        fleet("logs", "h0", "--run", run)
        fleet("stop", "h0", "--json")
        fleet("resume", "h0", "--run", run, "-v")
        fleet("ps", "h0")
        fleet("stop", "h0")
        fleet("logs", "h0", "--run", run, "-f", "--json")
    for command in ("status", "runs", "events", "doctor"):
        fleet(command, "h0", "--json")
    fleet("runs", "h0", "--show", run)
    fleet("logs", "h0", "--run", run, "--cached", "--raw")
    fleet("config", "show", "h0")
    fleet("download", "h0", "--run", run, "--to", str(tmp_path / "downloaded"))
    # Error messages: what failed names what was given to it.
    for wrong in (["stop", "h0", "--run", CANARY], ["train", "h0", "--", "--set", f"notes.{CANARY}=1"]):
        fleet(*wrong, expect=None)
        assert said[-1].code in (2, 9)
    run_dir = site.run(run)
    log = b"".join(path.read_bytes() for path in sorted((run_dir / "log").iterdir()))
    assert b"WANDB_API_KEY is [redacted]" in log, "the trainer was given it, printed it, and the log hides it"
    assert not seen
    assert [done for done in said if CANARY in done.out + done.err] == []
    secrets = site.deploy_dir / "secrets" / "run.env"
    assert holders(site.host.home) == [secrets] and stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert holders(site.root / ".fleet", tmp_path) == []
    site.remove(run)


def test_a_secret_that_is_not_allowed_is_not_sent(site: Site) -> None:
    secrets = site.deploy_dir / "secrets" / "run.env"
    assert "OTHER" not in secrets.read_text()
    releases = site.deploy_dir / "releases"
    assert not list(releases.rglob(".env.local")), "the file of secrets is never deployed"


def test_a_missing_secret_is_named_before_anything_starts(site: Site) -> None:
    file = site.root / ".env.local"
    before = file.read_text()
    file.write_text("OTHER=1\n")
    try:
        done = site.start("h0", "without", expect=2)
    finally:
        file.write_text(before)
    assert "WANDB_API_KEY" in done.json["errors"][0]["message"]
    assert not [row for row in site.fleet("runs", "h0", "--json").data["runs"] if row["id"].startswith("without-")]
