"""Linear cross-entropy: the chunked form equals the reference, values and gradients, and never holds all logits."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from hydra.errors import Unsupported
from hydra.kernels import Facts, calls
from hydra.kernels.linear_cross_entropy import choose, chunked, reference

ROWS, WIDTH, VOCABULARY = 13, 6, 23
softcaps = pytest.mark.parametrize("softcap", [None, 1.5])


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of five rows, the last one shorter."""
    monkeypatch.setattr(chunked, "CHUNK_BYTES", 5 * VOCABULARY * 8)


def problem(normal, dtype: torch.dtype = torch.float64):
    targets = torch.arange(ROWS) * 7 % VOCABULARY
    targets[3], targets[11] = -1, -1
    hidden, weight = normal(ROWS, WIDTH, dtype=dtype), normal(VOCABULARY, WIDTH, seed=2, dtype=dtype)
    return hidden.requires_grad_(), weight.requires_grad_(), targets


@softcaps
def test_reference_is_cross_entropy(normal, softcap) -> None:
    hidden, weight, targets = problem(normal)
    logits = hidden @ weight.t()
    logits = logits if softcap is None else softcap * torch.tanh(logits / softcap)
    total, losses = reference.linear_cross_entropy(hidden, weight, targets, softcap)
    assert torch.allclose(total, functional.cross_entropy(logits, targets, ignore_index=-1, reduction="sum"))
    assert torch.allclose(losses, functional.cross_entropy(logits, targets, ignore_index=-1, reduction="none"))
    assert not losses.requires_grad
    assert losses[3] == losses[11] == 0


@softcaps
@pytest.mark.parametrize("form", [reference, chunked])
def test_gradcheck(normal, small_chunks, form, softcap) -> None:
    hidden, weight, targets = problem(normal)
    assert torch.autograd.gradcheck(lambda h, w: form.linear_cross_entropy(h, w, targets, softcap)[0], (hidden, weight))


@softcaps
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_chunked_equals_reference(normal, small_chunks, softcap, dtype) -> None:
    hidden, weight, targets = problem(normal, dtype)
    results = []
    for form in (reference, chunked):
        total, losses = form.linear_cross_entropy(hidden, weight, targets, softcap)
        results.append((total, losses, *torch.autograd.grad(total * 0.37, [hidden, weight])))
        assert not losses.requires_grad
    tolerance = 1e-12 if dtype == torch.float64 else 1e-5
    for found, wanted in zip(results[1], results[0], strict=True):
        assert found.dtype == wanted.dtype
        assert torch.allclose(found, wanted, atol=tolerance, rtol=tolerance)


def test_fp32_weights_under_bf16_activations(normal, small_chunks) -> None:
    """The head's gradient is fp32 and its error is the one bf16 products cost, whatever the number of chunks."""
    hidden, weight, targets = problem(normal, torch.float32)
    low = hidden.detach().bfloat16().requires_grad_()
    total, _ = chunked.linear_cross_entropy(low, weight, targets)
    gradients = torch.autograd.grad(total, [low, weight])
    exact, _ = reference.linear_cross_entropy(low.double(), weight.bfloat16().double(), targets)
    wanted = torch.autograd.grad(exact, [low, weight])
    assert total.dtype == torch.float32
    assert abs(total.item() - exact.item()) <= 1e-5 * exact.item()
    assert [gradient.dtype for gradient in gradients] == [torch.bfloat16, torch.float32]
    for found, target in zip(gradients, wanted, strict=True):
        assert (found - target).norm() / target.norm() <= 0.01


def test_nothing_is_differentiated_without_gradients(normal, small_chunks) -> None:
    hidden, weight, targets = problem(normal)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        chunked.linear_cross_entropy(hidden, weight, targets)
    product = 2 * ROWS * WIDTH * VOCABULARY
    assert counter.get_total_flops() == product
    with FlopCounterMode(display=False) as counter:
        chunked.linear_cross_entropy(hidden, weight, targets)[0].backward()
    assert counter.get_total_flops() == 3 * product


def test_no_tensor_has_all_logits(normal, small_chunks) -> None:
    from torch.utils._python_dispatch import TorchDispatchMode

    sizes: list[int] = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, op, types, args=(), kwargs=None):
            result = op(*args, **(kwargs or {}))
            sizes.extend(t.numel() for t in (result if isinstance(result, tuple) else (result,)) if torch.is_tensor(t))
            return result

    hidden, weight, targets = problem(normal)
    body = chunked._forward._init_fn  # what runs inside the operator, which dispatch modes do not look into
    with Sizes():
        body(hidden.detach(), weight.detach(), targets, None, 5, True)
    weight_gradient = VOCABULARY * WIDTH
    assert max(size for size in sizes if size != weight_gradient) == 5 * VOCABULARY < ROWS * VOCABULARY


def test_all_targets_ignored(normal) -> None:
    hidden, weight, targets = problem(normal)
    for form in (reference, chunked):
        total, losses = form.linear_cross_entropy(hidden, weight, torch.full_like(targets, -1))
        gradients = torch.autograd.grad(total, [hidden, weight])
        assert total == 0
        assert not losses.any()
        assert not any(gradient.any() for gradient in gradients)


def test_operator_is_sound(normal) -> None:
    hidden, weight, targets = problem(normal, torch.float32)
    torch.library.opcheck(chunked._forward, (hidden, weight, targets, 2.0, 5, True))
    torch.library.opcheck(chunked._forward, (hidden.detach(), weight.detach(), targets, None, 5, False))


def test_one_graph_through_the_compiler(normal) -> None:
    hidden, weight, targets = problem(normal, torch.float32)

    def loss(h: torch.Tensor, w: torch.Tensor) -> torch.Tensor:
        return chunked.linear_cross_entropy(h * 2, w, targets, 1.5)[0] * 0.5

    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    wanted = torch.autograd.grad(loss(hidden, weight), [hidden, weight])
    found = torch.autograd.grad(compiled(hidden, weight), [hidden, weight])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(found, wanted, strict=True))


def test_the_choice() -> None:
    cpu = Facts("cpu", None, None, torch.float32)
    gpu = Facts("cuda", (9, 0), "3.6.0", torch.bfloat16)
    small = choose(384, cpu, {})
    assert small.implementation == "reference"
    assert "faster" in small.rejected["chunked"]
    assert choose(50304, cpu, {}).implementation == "chunked"
    assert choose(384, gpu, {}).implementation == "chunked"
    assert choose(384, cpu, {"linear_cross_entropy": "chunked"}).implementation == "chunked"
    with pytest.raises(Unsupported, match="no fast implementation of linear_cross_entropy"):
        choose(384, Facts("cuda", (9, 0), None, torch.bfloat16), {})


def test_calls_are_counted(normal) -> None:
    hidden, weight, targets = problem(normal)
    before = calls["linear_cross_entropy", "chunked", "forward"]
    chunked.linear_cross_entropy(hidden, weight, targets)
    assert calls["linear_cross_entropy", "chunked", "forward"] == before + 1
