"""References to a run or a step that mean nothing: refused before anything is written."""

from __future__ import annotations

import pytest

from hydra.errors import CheckpointError, RunError, UsageError
from hydra.runs import last_attempt, observed_state


def test_resume_of_nothing(train, folder):
    (folder / "runs").mkdir()
    with pytest.raises(RunError):
        train(resume="latest")
    with pytest.raises(RunError):
        train(resume="no-such-run")


def test_resume_of_a_step_that_is_no_number(manifest, train):
    train(manifest({"training.steps": 1}))
    with pytest.raises(UsageError, match="is not a step"):
        train(resume="latest@")
    with pytest.raises(UsageError, match="is not a step"):
        train(resume="latest@last")


def test_a_mistyped_step_leaves_the_run_as_it_was(manifest, train, only_run):
    train(manifest())
    with pytest.raises(CheckpointError, match="no checkpoint of step 7"):
        train(resume="latest@7")
    assert observed_state(only_run()).state == "completed"
    assert last_attempt(only_run()) == 1
