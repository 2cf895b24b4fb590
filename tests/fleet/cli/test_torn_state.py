"""A run whose state file is torn, or cannot be written: stop and resume go by what else is there, and say so."""

from __future__ import annotations

import json

from tests.farm.processes import carrying, end_all, process
from tests.fleet.cli.site import Site


def test_a_torn_state_stops_no_stop_and_no_resume(site: Site) -> None:
    run = site.live()
    lock = json.loads((site.run(run) / "supervisor.lock").read_text())
    supervisor = process(lock["process"]["pid"])
    assert supervisor is not None
    end_all([supervisor])
    (site.run(run) / "state.json").write_text("")
    done = site.fleet("stop", "h0", "--run", run, expect=None)
    assert done.code in (0, 12) and f"{run}: lost" in done.out and "None" not in done.out + done.err
    assert "state.json was empty, and no supervisor lives; torn states are kept as state.torn-1.json" in done.err
    assert "its lock was free" in done.err
    assert not carrying({"FLEET_RUN_ID": run})
    (site.run(run) / "state.json").write_text("[")
    resumed = site.fleet("resume", "h0", "--run", run, "--json").json
    assert resumed["data"]["h0"]["attempt"] == 2
    site.fleet("stop", "h0", "--run", run, "--kill", "--yes", expect=None)
