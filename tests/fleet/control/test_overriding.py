"""What a resume may change, worked out from the stored settings before a host is asked."""

from __future__ import annotations

from typing import Any

import pytest

from fleet.control.overriding import Change, changes, named
from fleet.errors import Usage
from hydra.errors import ManifestError
from hydra.manifest import from_tree
from hydra.manifest.identity import resolved
from hydra.manifest.source import parse
from tests.fleet.cli.program import MANIFEST


@pytest.fixture(scope="module")
def stored() -> dict[str, Any]:
    """What manifest.yaml of a run holds, as far as it matters."""
    data = parse(MANIFEST, "manifest").data
    return {"manifest": resolved(from_tree(data).runs[0].manifest), "origins": {}}


def test_a_change_is_told_with_both_values(stored: dict[str, Any]) -> None:
    found = changes("h0", "run", stored, ["training.steps=80", "notes=later"])
    assert found == (Change("notes", "", "later"), Change("training.steps", 30, 80))
    # What only describes a run need not be declared to the trainer, which would refuse it.
    assert named(found) == ("--changed", "training.steps")


def test_setting_what_is_set_changes_nothing(stored: dict[str, Any]) -> None:
    assert changes("h0", "run", stored, ["training.steps=30"]) == ()
    assert changes("h0", "run", None, []) == ()


@pytest.mark.parametrize(
    "override",
    ["model.width=32", "model.blocks=[{mixer: {kind: softmax, heads: 1}, mlp: {kind: swiglu}}]", "training.batch=4"],
)
def test_what_a_run_in_the_middle_cannot_take(stored: dict[str, Any], override: str) -> None:
    with pytest.raises(Usage, match=r"would change from .* in the middle of a run"):
        changes("h0", "run", stored, [override])


@pytest.mark.parametrize("override", ["training.stepz=4", "training.steps=many", "nonsense"])
def test_what_no_manifest_can_take(stored: dict[str, Any], override: str) -> None:
    with pytest.raises(ManifestError):
        changes("h0", "run", stored, [override])


@pytest.mark.parametrize("without", [None, {"schema": 1}])
def test_a_run_without_settings_cannot_be_changed(without: dict[str, Any] | None) -> None:
    with pytest.raises(Usage, match="no stored settings"):
        changes("h0", "run", without, ["training.steps=80"])
