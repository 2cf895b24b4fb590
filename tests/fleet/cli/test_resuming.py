"""Continuing a run: one of many at once, past a torn checkpoint, and on another branch of its steps."""

from __future__ import annotations

import json

from tests.fleet.cli.site import Site

#: Resumes of one run at the same moment.
AT_ONCE = 3


def test_of_simultaneous_resumes_one_wins_and_the_others_are_told(site: Site) -> None:
    run = site.train("raced", "fail=3", steps=20)
    (site.run(run) / "kept.json").write_text(json.dumps({"training.steps": "100000", "notes": "pause=0.05"}))
    argv = ("resume", "h0", "--run", run, "--json")
    processes = [site.fleet.process(*argv) for _ in range(AT_ONCE)]
    ended = [(process.communicate(timeout=120)[0], process.returncode) for process in processes]
    assert sorted(code for _, code in ended) == [0, *[6] * (AT_ONCE - 1)], ended
    for out, code in ended:
        answer = json.loads(out)
        assert answer["ok"] is (code == 0)
        if code:
            assert run in answer["errors"][0]["message"] and answer["errors"][0]["kind"] == "busy"
        else:
            assert (answer["data"]["h0"]["run"], answer["data"]["h0"]["attempt"]) == (run, 2)
    [row] = site.fleet("runs", "h0", "--state", "running", "--json").data["runs"]
    assert (row["id"], row["attempt"]) == (run, 2)
    record = json.loads((site.run(run) / "run.json").read_text())
    assert [resumed["attempt"] for resumed in record["resumed"]] == [2], "only the one that won is written down"


def test_a_torn_newest_checkpoint_is_told_by_a_resume(site: Site) -> None:
    run = site.train("torn", "torn fail=3", steps=25)
    (site.run(run) / "kept.json").write_text(json.dumps({"training.steps": "100000", "notes": "pause=0.05"}))
    done = site.fleet("resume", "h0", "--run", run)
    assert "resumed" in done.out and "from step 20" in done.out
    [told] = [line for line in done.err.splitlines() if "checkpoint 25 is passed over" in line]
    assert "shard-00000.safetensors has 5,004 bytes instead of 5,000" in told
    assert (site.run(run) / "checkpoints" / "step-25").is_dir(), "it is never deleted"


def test_a_torn_newest_checkpoint_is_no_proof_of_a_stop(site: Site) -> None:
    run = site.train("torn", "torn pause=0.02", steps=100000, wait=False, **{"checkpoint.every": 1000})
    done = site.fleet("stop", "h0", "--run", run, "--json", expect=12)
    [row] = done.data["h0"]
    steps = site.steps(run)
    assert (row["proven"], row["checkpoint"], row["steps_lost"]) == (False, None, steps)
    assert f"no checkpoint; {steps} steps lost" in done.json["errors"][0]["message"]
    assert "from the beginning" in done.json["errors"][0]["hint"], "there is no checkpoint to continue from"


def test_a_branch_that_was_left_is_not_shown_as_the_newest_checkpoint(site: Site) -> None:
    run = site.train("branch", "fail=3", steps=40)
    assert newest(site, run) == 40
    kept = site.run(run) / "kept.json"
    kept.write_text(json.dumps({"training.steps": "25"}))
    site.fleet("resume", "h0", "--run", run, "--step", "20")
    site.wait_end(run)
    [row] = [row for row in site.fleet("runs", "h0", "--json").data["runs"] if row["id"] == run]
    assert (row["attempt"], row["checkpoint"], row["verified_checkpoint"]["step"]) == (2, 25, 25)
    assert f" {row['checkpoint']} " in next(line for line in site.fleet("runs", "h0").out.splitlines() if run in line)


def newest(site: Site, run: str) -> int | None:
    """The checkpoint that `fleet runs` shows of a run."""
    rows = site.fleet("runs", "h0", "--json").data["runs"]
    return next(row["checkpoint"] for row in rows if row["id"] == run)
