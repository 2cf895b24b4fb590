"""The report of paths is made from the model that was built, checks what it says, and refuses what it cannot say."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from torch import nn

from hydra.errors import Unsupported
from hydra.kernels import Choice, Facts, Ledger, Use, adamw, report
from hydra.kernels.cases import Case
from hydra.layers.config import NormConfig
from hydra.layers.norm import Norm
from hydra.platform import Capabilities, capabilities

CPU = Facts("cpu", None, None, torch.float32)
GPU = Facts("cuda", (9, 0), "3.6.0", torch.float32)


class Toy(nn.Module):
    """A model of one norm, and of whatever else it is said to use."""

    def __init__(self, facts: Facts = CPU, pins: Mapping[str, str] | None = None, extra: tuple[Use, ...] = ()) -> None:
        super().__init__()
        self.norm = Norm(NormConfig(kind="rms_norm"), 8)
        self.facts, self.pins, self.extra = facts, pins or {}, extra

    def uses(self) -> tuple[Use, ...]:
        return self.extra


@pytest.fixture
def here() -> Capabilities:
    return capabilities("cpu")


def thrice(x: torch.Tensor) -> torch.Tensor:
    return 3 * x


def use(candidate, implementation: str = "fast") -> Use:
    choice = Choice("thrice", implementation, "width 4", {"faster": "not here"})
    return Use("thrice", "width 4", choice, lambda device: Case((torch.arange(1.0, 5.0),), candidate, thrice))


def test_rows_come_from_the_modules(here) -> None:
    table = report(Toy(extra=(use(thrice), use(thrice))), here, compiled=False, others=[adamw.use()])
    told = [(row.op, row.direction, row.runs, row.status) for row in table.rows]
    assert told == [
        ("thrice", "forward", "fast", "verified"),
        ("thrice", "backward", "fast", "verified"),
        ("rms_norm", "forward", "reference", "verified"),
        ("rms_norm", "backward", "reference", "verified"),
        ("adamw", "step", "torch-fused", "verified"),
    ]
    assert table.rows[0].rejected == {"faster": "not here"}
    assert not any(row.slow for row in table.rows)
    assert "summary: 5 fast, 0 slow, 0 emulated, 0 untested" in table.text()
    assert table.record()[0]["why"] == "width 4"


def test_a_failed_check_raises(here) -> None:
    with pytest.raises(Unsupported, match=r"self-check of thrice \(fast\) failed: output 0"):
        report(Toy(extra=(use(lambda x: 3.1 * x),)), here, compiled=False)


def test_an_op_without_check_must_be_accepted(here) -> None:
    unchecked = dataclasses.replace(use(thrice), case=None)
    with pytest.raises(Unsupported, match=r"thrice \(fast\) is untested"):
        report(Toy(extra=(unchecked,)), here, compiled=False)
    table = report(Toy(extra=(unchecked,)), here, compiled=False, accept=("verified", "untested"))
    assert table.rows[0].status == "untested"
    assert "2 untested" in table.text()


def test_references_on_cuda_must_be_pinned(here) -> None:
    with pytest.raises(Unsupported, match="no fast implementation of rms_norm on cuda") as told:
        report(Toy(GPU), here, compiled=False)
    assert "training.compile: none" in str(told.value)
    table = report(Toy(GPU, {"rms_norm": "reference"}), here, compiled=False)
    assert table.rows[0].slow
    assert "SLOW, pinned by kernels.pin" in table.text()
    assert "summary: 0 fast, 2 slow" in table.text()


@pytest.mark.parametrize("pins", [{"swiglu": "reference"}, {"thrice": "other"}, {"rms_nrm": "reference"}])
def test_pins_without_effect_are_refused(here, pins) -> None:
    with pytest.raises(Unsupported, match=r"kernels\.pin names"):
        report(Toy(pins=pins, extra=(use(thrice),)), here, compiled=False)


def test_known_checks_are_not_repeated(here, tmp_path: Path) -> None:
    runs: list[int] = []

    def counted(x: torch.Tensor) -> torch.Tensor:
        runs.append(1)
        return 3 * x

    for _ in range(2):
        report(Toy(extra=(use(counted),)), here, compiled=False, ledger=Ledger(here, tmp_path / "kernels.json"))
    assert len(runs) == 1


def test_compiled_ops_are_checked_as_compiled(here, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[bool] = []

    def fake(run, **options):
        compiled.append(options["fullgraph"])
        return run

    monkeypatch.setattr(torch, "compile", fake)
    table = report(Toy(), here, compiled=True)
    assert [row.runs for row in table.rows] == ["inductor", "inductor"]
    assert compiled == [True]


def test_a_miscompiled_op_is_named(here, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(run, **options):
        return lambda *inputs: tuple(y * 1.5 for y in run(*inputs))

    monkeypatch.setattr(torch, "compile", wrong)
    with pytest.raises(Unsupported, match=r"self-check of rms_norm \(inductor\) failed"):
        report(Toy(), here, compiled=True)


def test_a_model_is_anything_with_modules(here) -> None:
    class Bare:
        facts, pins = CPU, {}

        def modules(self) -> Iterator[nn.Module]:
            return iter(())

    assert report(Bare(), here, compiled=False).rows == ()
