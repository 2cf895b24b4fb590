"""The model on a CUDA device as the trainer uses it: bf16, compiled per block, with the chunked loss."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

from hydra.attention import SeqMeta
from hydra.errors import Unsupported
from hydra.kernels import Ledger, adamw, calls, report
from hydra.kernels.linear_cross_entropy import chunked, reference
from hydra.layers.initial import TruncatedNormal
from hydra.manifest.sections import Model
from hydra.model import LanguageModel, build, fill
from hydra.platform import capabilities

VOCABULARY = 640
CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


def config(**options: Any) -> Model:
    """Four blocks of two kinds that use every option, width 256."""
    first = {
        "mixer": {
            "kind": "softmax",
            "heads": 4,
            "kv_heads": 2,
            "head_width": 64,
            "qk_norm": "before_rope",
            "window": 200,
        },
        "mlp": {"kind": "swiglu", "hidden": 512},
    }
    second = {
        "mixer": {
            "kind": "softmax", "heads": 4, "kv_heads": 4, "head_width": 64, "qk_norm": "after_rope",
            "qk_norm_weight": False, "value_embedding": True,
        },
        "mlp": {"kind": "relu_squared", "hidden": 1024},
    }  # fmt: skip
    norm = {"kind": "rms_norm"}
    blocks = tuple({"id": f"b{i}", "norm": norm, **block} for i, block in enumerate((first, second, first, second)))
    values = {"width": 256, "context": 512, "norm": norm, "blocks": blocks, "head": {"tied": False, "softcap": 15.0}}
    return Model.model_validate({**values, **options})


def model(compute: torch.dtype = torch.bfloat16, device: torch.device = CUDA, **options: Any) -> LanguageModel:
    return build(config(), VOCABULARY, seed=1, device=device, compute=compute, **options)


def batch(seed: int = 0, length: int = 512, device: torch.device = CUDA):
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, VOCABULARY, (2, length + 1), generator=generator)
    starts = torch.rand(2, length + 1, generator=generator) < 0.01
    documents = starts.cumsum(dim=1).to(torch.int32)
    documents[0, length - 20 :] = -1
    same = (documents[:, 1:] == documents[:, :-1]) & (documents[:, 1:] >= 0)
    targets = torch.where(same, tokens[:, 1:], -1)
    inputs = tokens[:, :-1].to(device)
    return inputs, targets.to(device), SeqMeta.packed(inputs, documents[:, :-1].to(device))


def gradients(built: LanguageModel, given) -> dict[str, torch.Tensor]:
    total, _ = built(*given)
    found = torch.autograd.grad(total, list(built.parameters()))
    return {"loss": total.detach(), **dict(zip([name for name, _ in built.named_parameters()], found, strict=True))}


def compiled(built: LanguageModel, **options: Any) -> LanguageModel:
    for _, region in built.regions():
        region.compile(fullgraph=True, dynamic=False, **options)
    return built


def test_every_parameter_learns_what_fp64_says() -> None:
    """C1 on the default path: compiled, bf16, documents through FlexAttention, the chunked loss."""
    built = compiled(model())
    assert {mixer.implementation for mixer in built.mixers} == {"flex"}
    before = calls["linear_cross_entropy", "chunked", "forward"]
    found = gradients(built, batch())
    assert calls["linear_cross_entropy", "chunked", "forward"] == before + 1
    slow = {"attention": "reference", "linear_cross_entropy": "reference"}
    exact = gradients(model(torch.float64, pins=slow), batch())
    low = gradients(model(torch.bfloat16, pins=slow), batch())
    assert abs(found["loss"] - exact["loss"]) <= 1e-3 * exact["loss"]
    for name, wanted in exact.items():
        assert found[name].isfinite().all(), name
        assert wanted.norm() > 0, name
        error, reference_error = ((v[name] - wanted).norm() / wanted.norm() for v in (found, low))
        assert error <= max(0.02, 1.5 * reference_error), f"{name}: {error:.3e}, bf16 reference {reference_error:.3e}"


def test_new_batches_neither_break_nor_recompile() -> None:
    counter = CompileCounterWithBackend("inductor")
    built = model()
    for _, region in built.regions():
        region.compile(backend=counter, fullgraph=True, dynamic=False)
    for seed in range(4):
        total, _ = built(*batch(seed))
        total.backward()
    assert counter.frame_count == 3  # the final norm and two kinds of block
    assert total.isfinite()


def test_plain_rows_through_cudnn_compiled() -> None:
    section = config(blocks=tuple(block.model_dump() for block in config().blocks[1::2]))
    options = {"seed": 1, "device": CUDA, "compute": torch.bfloat16, "masked": False}
    built = compiled(build(section, VOCABULARY, **options))
    level = capabilities("cuda").compute_capability
    assert level is not None
    assert built.mixers[0].implementation == ("cudnn" if level >= (9, 0) else "flash")
    tokens, targets, _ = batch()
    given = (tokens, targets.clamp_min(0), SeqMeta.causal(tokens))
    found = gradients(built, given)
    wanted = gradients(build(section, VOCABULARY, **{**options, "compute": torch.float32}), given)
    assert abs(found["loss"] - wanted["loss"]) <= 1e-3 * wanted["loss"]
    for name, exact in wanted.items():
        assert (found[name] - exact).norm() <= 0.05 * exact.norm(), name


def test_documents_are_isolated_in_bits() -> None:
    built = compiled(model())
    tokens, _, meta = batch()
    first = meta.documents[1] == meta.documents[1, 0]
    assert first.any()
    assert not first.all()
    other = tokens.clone()
    other[1, first] = (other[1, first] + 1) % VOCABULARY
    with torch.no_grad():
        before = built.logits(tokens, meta)
        after = built.logits(other, SeqMeta.packed(other, meta.documents))
    assert torch.equal(before[1, ~first], after[1, ~first])
    assert not torch.equal(before[1, first], after[1, first])


def test_exact_runs_repeat_in_bits() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        built = compiled(model(deterministic=True))
        runs = [gradients(built, batch()) for _ in range(3)]
    finally:
        torch.use_deterministic_algorithms(False)
    for name, first in runs[0].items():
        assert all(torch.equal(run[name], first) for run in runs[1:]), name


def test_decoding_follows_the_whole_sequence() -> None:
    built = model(masked=True)
    tokens, _, _ = batch(length=96)
    with torch.no_grad():
        wanted = built.logits(tokens, SeqMeta.causal(tokens))
        logits, state = built.prefill(tokens[:, :64], SeqMeta.causal(tokens[:, :64]), built.init_state(2, 96))
        errors = [(logits - wanted[:, 63]).norm() / wanted[:, 63].norm()]
        for t in range(64, 96):
            step = tokens[:, t : t + 1]
            logits, state = built.decode(step, SeqMeta.causal(step, t), state)
            errors.append((logits - wanted[:, t]).norm() / wanted[:, t].norm())
    assert max(errors) <= 0.03


def test_the_report_is_verified_and_refuses_eager_references() -> None:
    built, here = model(), capabilities("cuda")
    known = Ledger(here)
    table = report(built, here, compiled=True, ledger=known, others=[adamw.use()])
    assert {row.status for row in table.rows} == {"verified"}
    runs = {row.op: row.runs for row in table.rows}
    assert runs["attention"] == "flex"
    assert runs["rms_norm"] == runs["rope"] == runs["swiglu"] == "inductor"
    assert runs["linear_cross_entropy"] == "chunked"
    assert report(built, here, compiled=True, ledger=known).seconds < 1  # nothing is checked twice
    with pytest.raises(Unsupported, match=r"training\.compile: none"):
        report(built, here, compiled=False)


@pytest.mark.parametrize("softcap", [None, 15.0])
def test_chunked_loss_costs_what_bf16_costs(softcap: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradient errors at most 1.2 times those of the unfused bf16 path, over many chunks, one of them shorter."""
    rows, width, vocabulary = 2050, 256, 5000
    monkeypatch.setattr(chunked, "CHUNK_BYTES", 256 * vocabulary * 4)
    generator = torch.Generator().manual_seed(0)
    hidden = torch.randn(rows, width, generator=generator).to(CUDA, torch.bfloat16).requires_grad_()
    weight = (torch.randn(vocabulary, width, generator=generator) * 0.1).to(CUDA).requires_grad_()
    targets = torch.randint(-1, vocabulary, (rows,), generator=generator).to(CUDA)

    def run(form, x: torch.Tensor, table: torch.Tensor):
        total, losses = form.linear_cross_entropy(x, table, targets, softcap)
        return [total, losses, *torch.autograd.grad(total / rows, [x, table])]

    wide = (hidden.detach().double().requires_grad_(), weight.detach().bfloat16().double().requires_grad_())
    exact, low, got = run(reference, *wide), run(reference, hidden, weight), run(chunked, hidden, weight)
    assert got[0].dtype == got[1].dtype == got[3].dtype == torch.float32
    assert abs(got[0] - exact[0]) <= 1e-4 * exact[0]
    for found, unfused, wanted in zip(got[2:], low[2:], exact[2:], strict=True):
        error, allowed = ((v - wanted).norm() / wanted.norm() for v in (found, unfused))
        assert error <= 1.2 * allowed


def test_chunked_loss_never_holds_all_logits() -> None:
    rows, width, vocabulary = 16384, 128, 65536  # 4 GiB of fp32 logits
    hidden = torch.randn(rows, width, device=CUDA, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(vocabulary, width, device=CUDA).mul_(0.02).requires_grad_()
    targets = torch.randint(0, vocabulary, (rows,), device=CUDA)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    total, _ = chunked.linear_cross_entropy(hidden, weight, targets)
    total.backward()
    # A chunk's logits are 1 GiB; its softmax and slopes stand beside them. All logits with theirs would be over 8 GiB.
    assert torch.cuda.max_memory_allocated() - before < 3 * 2**30
    assert total.isfinite()


def test_first_weights_do_not_depend_on_the_device() -> None:
    on_cpu, on_gpu = torch.empty(300_000), torch.empty(300_000, device=CUDA)
    for values in (on_cpu, on_gpu):
        fill(values, TruncatedNormal(0.02), 7, "blocks.0.mlp.up.weight", 2**33)
    assert (on_cpu - on_gpu.cpu()).abs().max() <= 2**-23 * 0.06
    part = torch.empty(1000, device=CUDA)
    fill(part, TruncatedNormal(0.02), 7, "blocks.0.mlp.up.weight", 2**33 + 5000)
    assert torch.equal(part, on_gpu[5000:6000])
