"""The self-check notices what is wrong: each kind of broken kernel is caught, in fp32 and in bf16."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from hydra.errors import UsageError
from hydra.kernels import Ledger
from hydra.kernels.cases import ELEMENTWISE, Case, elementwise
from hydra.kernels.verification import disagreement, sources
from hydra.platform import capabilities
from hydra.runs import RunWriteError

CPU = torch.device("cpu")
TYPES = [torch.float32, torch.bfloat16]


class Scaled(torch.autograd.Function):
    """Identity whose gradient is multiplied by a factor."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.factor, None


def attend(q, k, v, offset: int = 0):
    mask = torch.ones(6, 6, dtype=torch.bool).tril(offset)
    logits = (q.float() @ k.float().T).masked_fill(~mask, -1e9)
    return (logits.softmax(-1) @ v.float()).to(q.dtype)


def case(candidate, dtype: torch.dtype, *, exact=attend) -> Case:
    parts = [torch.randn(6, 8, generator=torch.Generator().manual_seed(n)).to(dtype) for n in range(3)]

    def truth(q, k, v):
        mask = torch.ones(6, 6, dtype=torch.bool).tril()
        wide = torch.promote_types(q.dtype, torch.float32)
        logits = (q.to(wide) @ k.to(wide).T).masked_fill(~mask, -1e9)
        return (logits.softmax(-1) @ v.to(wide)).to(q.dtype)

    return Case(tuple(parts), candidate, truth)


BROKEN = {
    "mask off by one": lambda q, k, v: attend(q, k, v, 1),
    "mask misses the diagonal": lambda q, k, v: attend(q, k, v, -1),
    "keys detached": lambda q, k, v: attend(q, k.detach() + 0 * k, v),
    "no gradient": lambda q, k, v: Scaled.apply(attend(q, k, v), 0.0),
    "gradient 5 % too large": lambda q, k, v: Scaled.apply(attend(q, k, v), 1.05),
    "output 1 % too large": lambda q, k, v: attend(q, k, v) * 1.01,
    "not a number": lambda q, k, v: attend(q, k, v) * torch.where(v > 2, torch.nan, 1.0).to(v.dtype),
}


@pytest.mark.parametrize("dtype", TYPES)
def test_a_right_kernel_passes(dtype: torch.dtype) -> None:
    assert disagreement(case(attend, dtype)) is None


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_kernel_is_caught(name: str, dtype: torch.dtype) -> None:
    assert disagreement(case(BROKEN[name], dtype)) is not None


@pytest.mark.parametrize("op", ELEMENTWISE)
@pytest.mark.parametrize("dtype", TYPES)
def test_every_elementwise_case_agrees_and_can_disagree(op: str, dtype: torch.dtype) -> None:
    good = elementwise(op, CPU, dtype)
    assert disagreement(good) is None

    def off(*inputs: torch.Tensor):
        answer = good.candidate(*inputs)
        return tuple(1.02 * y for y in answer) if isinstance(answer, tuple) else 1.02 * answer

    assert disagreement(dataclasses.replace(good, candidate=off)) is not None


def test_forward_only_cases_compare_outputs() -> None:
    bad = dataclasses.replace(case(BROKEN["output 1 % too large"], torch.float32), backward=False)
    assert disagreement(bad) is not None
    only_gradient = dataclasses.replace(case(BROKEN["no gradient"], torch.float32), backward=False)
    assert disagreement(only_gradient) is None


def test_the_ledger_forgets_on_any_change(tmp_path: Path) -> None:
    here = capabilities("cpu")
    ledger = Ledger(here, tmp_path / "kernels.json")
    assert "rope reference" not in ledger
    ledger.add("rope reference")
    again = Ledger(here, tmp_path / "kernels.json")
    assert "rope reference" in again
    assert "rope inductor" not in again
    newer = dataclasses.replace(here, versions={**here.versions, "torch": "99"})
    assert "rope reference" not in Ledger(newer, tmp_path / "kernels.json")
    assert "rope reference" not in Ledger(here)


def test_the_digest_covers_the_sources() -> None:
    assert len(sources()) == 64


@pytest.mark.parametrize("text", ["garbage", "[]", "{}", '{"passed": 3}', '{"passed": [3]}', "\xff"])
def test_a_file_that_is_no_ledger_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "kernels.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError, match="not a ledger"):
        Ledger(capabilities("cpu"), path)


def test_a_ledger_that_cannot_be_written_is_an_error_with_its_path(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunWriteError, match=r"file/kernels\.json"):
        Ledger(capabilities("cpu"), tmp_path / "file" / "kernels.json").add("rope reference")
