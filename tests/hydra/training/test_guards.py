"""Losses that are not finite: skipped on the device, recorded, and in the end fatal."""

from __future__ import annotations

import json

import pytest
import torch

from hydra.errors import Diverged
from hydra.runs import final_record, observed_state, read_events, read_metrics
from hydra.training.state import Nonfinite
from hydra.training.step import Step


@pytest.fixture
def poison(monkeypatch):
    """Makes the loss of chosen steps infinite, inside the step, as a bad batch would."""

    def at(steps):
        original = Step._accumulate

        def poisoned(self, batch):
            sums = original(self, batch)
            if batch.step in steps:
                for weight in self._weights:
                    weight.grad = torch.full_like(weight, float("nan"))
            return sums

        monkeypatch.setattr(Step, "_accumulate", poisoned)

    return at


def test_a_skipped_step_changes_nothing_and_training_goes_on(manifest, train, only_run, poison):
    poison({3})
    assert train(manifest()) == 0
    run = only_run()
    rows = read_metrics(run.metrics).rows
    assert [row["skipped"] for row in rows] == [step == 4 for step in range(1, 13)]
    assert rows[3]["verdict"] == "nonfinite"
    assert rows[3]["tokens"] == rows[2]["tokens"]
    event = next(event for event in read_events(run.events).events if event.kind == "guard.nonfinite")
    assert event.step == 4
    report = json.loads(run.guard_report(4).read_text())
    assert report["samples"] == [12, 13, 14, 15]
    assert report["rows"][0]["text"]


def test_a_step_skipped_at_a_boundary_has_one_line_with_its_evaluation(manifest, train, only_run, poison):
    poison({3})
    train(manifest({"evaluation.every": 4}))
    lines = [json.loads(line) for line in only_run().metrics.read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 13))
    assert lines[3]["skipped"]
    assert "eval.loss" in lines[3]


def test_the_step_that_ends_a_run_at_a_boundary_has_its_line(manifest, train, only_run, poison):
    poison({3})
    with pytest.raises(Diverged):
        train(manifest({"evaluation.every": 4, "training.nonfinite_in_a_row": 1}))
    assert [row["step"] for row in read_metrics(only_run().metrics).rows] == [1, 2, 3, 4]


def test_too_many_in_a_row_stop_the_run_and_name_the_batch(manifest, train, only_run, poison):
    poison(set(range(4, 100)))
    with pytest.raises(Diverged, match="samples 24 to 27") as raised:
        train(manifest({"training.nonfinite_in_a_row": 3}))
    # The checkpoint of step 5 was saved among the skipped steps: what came before them is what can be trusted.
    assert "before step 5," in raised.value.fix
    run = only_run()
    assert observed_state(run).state == "failed"
    final = final_record(read_events(run.events).events)
    assert (final.data["code"], final.step) == (4, 7)
    assert observed_state(run).written.last_step == 7


def test_too_many_in_a_thousand_stop_the_run(manifest, train, poison):
    poison({2, 5, 8})
    with pytest.raises(Diverged, match=r"3\. of the last 1,000"):
        train(manifest({"training.nonfinite_in_1000": 3}))


def test_the_window_of_a_thousand_steps_forgets():
    guard = Nonfinite()
    for step in range(1, 2001):
        guard.note(step, skipped=step % 500 == 0)
    assert list(guard.recent) == [1500, 2000]
    assert guard.in_a_row == 1


def test_the_guard_survives_a_resume(manifest, train, only_run, poison, stop_after):
    poison({0, 1, 2})
    train(manifest({"training.nonfinite_in_a_row": 2}), requests=stop_after(1))
    with pytest.raises(Diverged):
        train(resume="latest")
    assert only_run()


def test_after_going_back_a_crash_continues_the_new_branch(manifest, train, only_run, poison):
    train(manifest())
    bad = {6}
    poison(bad)
    strict = {"overrides": ("training.nonfinite_in_a_row=1",), "changed": ("training.nonfinite_in_a_row",)}
    with pytest.raises(Diverged):
        train(resume="latest@5", **strict)
    bad.clear()
    train(resume="latest")
    events = [event for event in read_events(only_run().events).events if event.kind == "run.resumed"]
    assert [event.step for event in events] == [5, 5]
    assert [row["step"] for row in read_metrics(only_run().metrics).current] == list(range(1, 13))
