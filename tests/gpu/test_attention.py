"""Attention on a CUDA device: which implementation is chosen, and that each equals the reference in every form."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hydra.attention import MixerSpec, SeqMeta, backend
from hydra.attention.backends.softmax.cases import cache_case, core_case
from hydra.attention.backends.softmax.config import SoftmaxConfig
from hydra.attention.backends.softmax.implementations import choose
from hydra.attention.backends.softmax.reference import attention, visible
from hydra.errors import Unsupported
from hydra.kernels import Facts
from hydra.kernels.verification import disagreement
from hydra.model.framework.initialisation import initialise
from hydra.platform import capabilities

FORMS = {
    "mha 64": {"heads": 4, "kv_heads": 4, "head_width": 64},
    "gqa 128": {"heads": 8, "kv_heads": 2, "head_width": 128},
    "mqa 40, odd": {"heads": 3, "kv_heads": 1, "head_width": 40},
    "gqa 80, odd": {"heads": 9, "kv_heads": 3, "head_width": 80},
}
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def _fresh() -> None:
    torch._dynamo.reset()


def softmax(**values: Any) -> SoftmaxConfig:
    return SoftmaxConfig.model_validate({"kind": "softmax", "heads": 4, "kv_heads": 4, "head_width": 64, **values})


def facts(compute: torch.dtype = torch.bfloat16, *, deterministic: bool = False, masked: bool = False) -> Facts:
    return Facts.of(capabilities("cuda"), compute, deterministic=deterministic, masked=masked)


def draw(*shape: int, seed: int, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(CUDA, dtype)


def packed(batch: int, length: int) -> SeqMeta:
    """Documents that start on and off the edges of 128-token tiles, one of a single token, padding in row 0."""
    documents = torch.zeros(batch, length, dtype=torch.int32, device=CUDA)
    for start in (length // 5, length // 5 + 1, length // 2, 128 * (length // 256)):
        documents[:, start:] += 1
    documents[0, length - length // 20 - 1 :] = -1
    return SeqMeta.packed(torch.zeros(batch, length, dtype=torch.int64, device=CUDA), documents)


def plain(batch: int, length: int) -> SeqMeta:
    return SeqMeta.causal(torch.zeros(batch, length, dtype=torch.int64, device=CUDA))


def in_bf16_throughout(q, k, v, mask, scale) -> torch.Tensor:
    """The definition with every tensor in bf16 and products accumulated in fp32: the error that bf16 costs anyway."""
    groups = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
    logits = torch.einsum("bthd,bshd->bhts", q * scale, k)
    shown = (mask | ~mask.any(dim=-1, keepdim=True)).unsqueeze(1)
    weights = torch.softmax(logits.masked_fill(~shown, -torch.inf), dim=-1)
    return torch.einsum("bhts,bshd->bthd", weights, v) * mask.any(dim=-1)[:, :, None, None]


def hold_to_bf16_rule(core, config: SoftmaxConfig, window: int | None, meta: SeqMeta) -> None:
    """C9: outputs and gradients in bf16 are as close to the fp64 result as the definition in bf16 is."""
    batch, length = meta.positions.shape
    mask, scale = visible(meta, window), config.head_width**-0.5
    counts = (config.heads, config.kv_heads, config.kv_heads)
    rounded = [draw(batch, length, count, config.head_width, seed=seed) for seed, count in enumerate(counts)]
    upstream = draw(batch, length, config.heads, config.head_width, seed=9)

    def run(attend, dtype: torch.dtype) -> list[torch.Tensor]:
        leaves = [x.to(dtype).requires_grad_() for x in rounded]
        y = attend(*leaves)
        return [y, *torch.autograd.grad((y * upstream.to(dtype)).sum(), leaves)]

    exact = run(lambda q, k, v: attention(q, k, v, mask, scale), torch.float64)
    low = run(lambda q, k, v: in_bf16_throughout(q, k, v, mask, scale), torch.bfloat16)
    got = run(lambda q, k, v: core(q, k, v, meta), torch.bfloat16)
    for name, r64, r16, value in zip(("y", "dq", "dk", "dv"), exact, low, got, strict=True):
        size, rms = r64.abs().max(), r64.square().mean().sqrt()
        if size == 0:
            # One visible key has weight 1 whatever the logits are: the gradient is exactly 0, and fp32 rounds near it.
            assert value.abs().max() <= 1e-5 * upstream.abs().max(), name
            continue
        largest, allowed = (value - r64).abs().max(), 2 * (r16 - r64).abs().max() + 2 * 2**-8 * size
        assert largest <= allowed, f"{name}: largest error {largest:.3e} > {allowed:.3e}"
        own, reference = ((v - r64).square().mean().sqrt() / rms for v in (value, r16))
        assert own <= max(0.005, 1.25 * reference), f"{name}: RMS error {own:.2e}, bf16 itself {reference:.2e}"


def test_the_device_is_described() -> None:
    found = capabilities("cuda")
    assert found.kind == "cuda"
    assert found.versions.keys() >= {"cuda", "cudnn", "nccl", "triton"}
    assert found.compute_capability == torch.cuda.get_device_capability()


def test_choices_on_this_device() -> None:
    level = capabilities("cuda").compute_capability
    assert level is not None
    fastest = "cudnn" if level >= (9, 0) else "flash"
    chosen = {
        "causal": choose(softmax(), None, facts(), {}),
        "grouped": choose(softmax(kv_heads=1, head_width=128), None, facts(), {}),
        "exact": choose(softmax(), None, facts(deterministic=True), {}),
        "fp32": choose(softmax(), None, facts(torch.float32), {}),
        "documents": choose(softmax(), None, facts(masked=True), {}),
        "window": choose(softmax(window=9), 9, facts(), {}),
    }
    names = {key: choice.implementation for key, (choice, _) in chosen.items()}
    if fastest == "cudnn":
        assert names["causal"] == names["grouped"] == "cudnn"
        assert chosen["grouped"][1].expand is False
    assert names["exact"] == "flash"
    assert names["fp32"] == "efficient"
    assert names["documents"] == names["window"] == "flex"
    with pytest.raises(Unsupported, match="no fast implementation of attention"):
        choose(softmax(), None, facts(torch.float64, masked=True), {})


@forms
@pytest.mark.parametrize("name", ["cudnn", "flash", "efficient"])
def test_causal_kernels_equal_the_reference(name: str, form: dict[str, int]) -> None:
    config = softmax(**form)
    _, core = choose(config, None, facts(), {"attention": name})
    for length in (1, 65, 257, 1000):
        if name == "cudnn" and length == 1:
            continue  # cuDNN has no single-query backward, and training rows are longer
        hold_to_bf16_rule(core, config, None, plain(2, length))


@forms
@pytest.mark.parametrize("window", [None, 100])
def test_flex_equals_the_reference(form: dict[str, int], window: int | None) -> None:
    config = softmax(**form, window=window)
    _, core = choose(config, window, facts(masked=True), {})
    for length in (257, 1000):
        hold_to_bf16_rule(core, config, window, packed(2, length))


def test_flex_without_documents() -> None:
    config = softmax(window=130)
    _, core = choose(config, 130, facts(), {})
    hold_to_bf16_rule(core, config, 130, plain(2, 512))


@pytest.mark.parametrize(("compute", "masked"), [(torch.float32, False), (torch.float32, True), (torch.bfloat16, True)])
def test_the_self_check_agrees(compute: torch.dtype, masked: bool) -> None:
    config = softmax(kv_heads=2)
    given = facts(compute, masked=masked)
    _, core = choose(config, None, given, {})
    assert disagreement(core_case(core, config, None, masked, compute, CUDA)) is None
    assert disagreement(cache_case(config, 50, compute, CUDA)) is None


@pytest.mark.parametrize("masked", [False, True])
def test_causality_and_isolation_are_exact(masked: bool) -> None:
    config = softmax(kv_heads=2)
    meta = packed(2, 384) if masked else plain(2, 384)
    _, core = choose(config, None, facts(masked=masked), {})
    q, k, v = (draw(2, 384, count, 64, seed=count) for count in (4, 2, 2))
    before = core(q, k, v, meta)
    changed = [x.clone() for x in (q, k, v)]
    for x in changed:
        x[:, 200] += 1
    after = core(*changed, meta)
    assert torch.equal(before[:, :200], after[:, :200])
    assert not torch.equal(before[:, 200], after[:, 200])
    if masked:
        other = meta.documents != meta.documents[:, 200:201]
        assert torch.equal(before[other], after[other])
        assert not before[meta.documents < 0].any()


@pytest.mark.parametrize("masked", [False, True])
def test_exact_implementations_repeat_in_bits(masked: bool) -> None:
    config = softmax(kv_heads=2)
    meta = packed(2, 700) if masked else plain(2, 700)
    _, core = choose(config, None, facts(deterministic=True, masked=masked), {})
    torch.use_deterministic_algorithms(True)
    try:
        results = []
        for _ in range(5):
            leaves = [draw(2, 700, count, 64, seed=count).requires_grad_() for count in (4, 2, 2)]
            y = core(*leaves, meta)
            results.append([y, *torch.autograd.grad((y * draw(2, 700, 4, 64, seed=5)).sum(), leaves)])
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for again in results[1:] for a, b in zip(again, results[0], strict=True))


def test_prefill_and_decode_equal_forward() -> None:
    config = softmax(kv_heads=2, qk_norm="after_rope", value_embedding=True)
    spec = MixerSpec(config, 128, 512, 16, 128**-0.5, 128**-0.5, facts(masked=True), {})
    with torch.device(CUDA):
        mixer = backend(spec)
    initialise(mixer, 1)
    x = draw(2, 200, 128, seed=3)
    tokens = torch.arange(400, device=CUDA).view(2, 200) % 16
    with torch.no_grad():
        whole = mixer(x, SeqMeta.causal(tokens)).float()
        state = mixer.init_state(2, 200, CUDA, torch.bfloat16)
        y, state = mixer.prefill(x[:, :150], SeqMeta.causal(tokens[:, :150]), state)
        parts = [y]
        for t in range(150, 200):
            y, state = mixer.decode(x[:, t : t + 1], SeqMeta.causal(tokens[:, t : t + 1], t), state)
            parts.append(y)
    difference = torch.cat(parts, dim=1).float() - whole
    assert difference.square().mean().sqrt() <= 0.01 * whole.square().mean().sqrt()
