"""Commands that are interrupted, and output that nobody reads to the end."""

from __future__ import annotations

import json
import signal
import subprocess
import time

from tests.farm.processes import carrying
from tests.fleet.cli.site import Site


def test_130_following_is_interrupted(site: Site, live: str) -> None:
    with site.fleet.process("logs", "h0", "-f", "--json") as process:
        assert process.stdout is not None
        first = json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert first["kind"] == "line" and process.returncode == 130
    assert "interrupted" in err and "Traceback" not in err
    last = json.loads(out.splitlines()[-1])
    assert (last["ok"], last["errors"][0]["code"]) == (False, 130)
    assert site.fleet("runs", "h0", "--state", "running", "--json").data["runs"][0]["id"] == live


def test_130_a_start_is_interrupted_and_the_run_goes_on(site: Site) -> None:
    """The trainer says nothing, so the start waits for it: Control-C then does not end what lives on the host."""
    argv = ["train", "h0", "--name", "mute", "--", "--set", 'notes="mute pause=0.05"', "--set", "training.steps=100000"]
    with site.fleet.process(*argv) as process:
        deadline = time.monotonic() + 20
        while not (started := carrying({"FLEET_RUN_ID": None, "HOME": str(site.host.home)})):
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130 and "interrupted" in err
    assert started[0].alive()
    [row] = site.fleet("runs", "h0", "--state", "running", "--json").data["runs"]
    assert row["id"].startswith("mute-")


def test_141_nobody_reads_the_result(site: Site) -> None:
    with site.fleet.process("config", "schema", "--outputs", stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
        assert (process.wait(20), err) == (141, "")


def test_141_nobody_reads_the_log(site: Site, live: str) -> None:
    with site.fleet.process("logs", "h0", "-f") as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        err = process.stderr.read()
        assert process.wait(20) == 141
    assert "Traceback" not in err and "bug" not in err
