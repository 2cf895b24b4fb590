"""First weights are a pure function of seed, name and element, whatever the slicing."""

from __future__ import annotations

import hashlib
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from hydra.layers.initial import Constant, TruncatedNormal
from hydra.model.framework import initialisation
from hydra.model.framework.initialisation import fill, initialise

MASK = 2**64 - 1


def drawn(count: int, start: int = 0, seed: int = 1, name: str = "w", std: float = 1.0) -> torch.Tensor:
    values = torch.empty(count)
    fill(values, TruncatedNormal(std), seed, name, start)
    return values


def splitmix(seed: int, name: str, index: int) -> float:
    """The same uniform number in Python integers."""
    key = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8], "little")
    z = (key + (index + 1) * 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return (((z ^ (z >> 31)) >> 11) + 0.5) / 2**53


def test_values_are_quantiles_of_splitmix() -> None:
    values = drawn(5, start=2**40, seed=7, name="blocks.0.mlp.up.weight", std=0.5)
    edge = math.erf(3 / math.sqrt(2))
    for offset, value in enumerate(values.tolist()):
        uniform = splitmix(7, "blocks.0.mlp.up.weight", 2**40 + offset)
        assert math.isclose(math.erf(value / 0.5 / math.sqrt(2)), (2 * uniform - 1) * edge, abs_tol=1e-6)


@given(start=st.integers(0, 900), count=st.integers(0, 100))
def test_a_slice_filled_alone_equals_the_slice_of_the_whole(start: int, count: int) -> None:
    assert torch.equal(drawn(count, start), drawn(1000)[start : start + count])


def test_chunks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = drawn(1000)
    monkeypatch.setattr(initialisation, "CHUNK", 33)
    assert torch.equal(drawn(1000), whole)


def test_the_distribution() -> None:
    values = drawn(200_000, std=0.02).double()
    assert values.abs().max() <= 0.06 * (1 + 1e-6)
    assert values.abs().max() > 0.0595
    assert abs(values.mean()) < 0.02 * 4 / math.sqrt(200_000)
    assert math.isclose(values.std() / 0.02, 0.9866, abs_tol=0.005)
    assert abs((values[1:] * values[:-1]).mean() / 0.0004) < 4 / math.sqrt(200_000)


def test_seeds_and_names_matter() -> None:
    base = drawn(100)
    for other in (drawn(100, seed=2), drawn(100, name="v")):
        assert abs(torch.corrcoef(torch.stack([base, other]))[0, 1]) < 0.4
        assert not torch.equal(base, other)


def test_constants() -> None:
    values = torch.zeros(4)
    fill(values, Constant(1.0), 1, "norm.weight", 0)
    assert values.tolist() == [1.0] * 4


def test_every_kind_of_weight(model, config, rich) -> None:
    built = model(config((*rich, *rich), init_std=0.1, head={"tied": False}, embedding_norm=True))
    small = 0.1 / math.sqrt(8)
    for name, parameter in built.named_parameters():
        if "norm" in name:
            assert (parameter == 1).all(), name
        else:
            wanted = small if name.endswith(("mixer.output.weight", "mlp.down.weight")) else 0.1
            assert math.isclose(parameter.std().item() / wanted, 0.9866, rel_tol=0.2), name
            assert parameter.abs().max() <= 3 * wanted * (1 + 1e-6), name


def test_two_builds_agree_and_seeds_differ(model) -> None:
    first, again, other = model(), model(), model(seed=6)
    for a, b, c in zip(first.parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.ndim == 1 or not torch.equal(a, c)


def test_an_undeclared_parameter_is_a_mistake() -> None:
    class Forgetful(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.empty(2))

        def distributions(self) -> dict[str, object]:
            return {}

    with pytest.raises(AssertionError, match="Forgetful must declare"):
        initialise(Forgetful(), 1)
