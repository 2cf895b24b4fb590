"""The contract of a mixer (C1-C7, C9-C11), for softmax attention in every form and every implementation on the CPU."""

from __future__ import annotations

import pytest
import torch

from hydra.attention.backends.softmax.reference import attention, visible

FORMS = {
    "mha": {},
    "gqa, head width 40": {"heads": 6, "kv_heads": 2, "head_width": 40},
    "mqa, odd heads": {"heads": 3, "kv_heads": 1, "head_width": 80, "rope": {"layout": "interleaved"}},
    "nope": {"rope": None},
    "qk norm before, odd kv heads": {"heads": 12, "kv_heads": 3, "qk_norm": "before_rope"},
    "qk norm after": {"qk_norm": "after_rope", "qk_norm_weight": False},
    "window": {"window": 7},
    "window of 1": {"window": 1},
    "value embedding": {"value_embedding": True, "kv_heads": 1},
}
IMPLEMENTATIONS = ("sdpa", "reference")
forms = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
implementations = pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
packings = pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """Relative RMS difference."""
    return ((a - b).square().mean().sqrt() / b.square().mean().sqrt().clamp_min(1e-30)).item()


@packings
@implementations
@forms
def test_no_token_sees_a_later_one(mixer, meta, normal, form, implementation, packed) -> None:
    module, batch = mixer(implementation, **form), meta(2, 65, packed)
    x = normal(2, 65, 48)
    before = module(x, batch)
    for j in (64, 23):
        other = x.clone()
        other[:, j] += 1
        assert torch.equal(before[:, :j], module(other, batch)[:, :j])
    x.requires_grad_()
    module(x, batch)[:, :23].mul(normal(2, 23, 48, seed=2)).sum().backward()
    assert x.grad is not None
    assert not x.grad[:, 23:].any()
    assert x.grad[:, :23].any()


@implementations
def test_no_token_sees_a_later_one_through_the_cache(mixer, meta, normal, piece, implementation) -> None:
    module, batch = mixer(implementation), meta(1, 40, True)
    x, other = normal(1, 40, 48), normal(1, 40, 48)
    other[:, 30] += 1
    outputs = []
    with torch.no_grad():
        for values in (x, other):
            state = module.init_state(1, 40, x.device, x.dtype)
            _, state = module.prefill(values[:, :20], piece(batch, slice(0, 20)), state)
            y, _ = module.prefill(values[:, 20:], piece(batch, slice(20, None)), state)
            outputs.append(y)
    assert torch.equal(outputs[0][:, :10], outputs[1][:, :10])
    assert not torch.equal(outputs[0][:, 10:], outputs[1][:, 10:])


@packings
@forms
def test_prefill_then_decode_equals_forward(mixer, meta, normal, piece, form, packed) -> None:
    _prefill_then_decode(mixer, meta, normal, piece, form, packed, torch.float64, (1, 2, 7, 31, 63, 64, 65))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_any_prompt_length_then_decode_equals_forward(mixer, meta, normal, piece, dtype) -> None:
    _prefill_then_decode(mixer, meta, normal, piece, {"window": 20}, True, dtype, range(1, 66))


def _prefill_then_decode(mixer, meta, normal, piece, form, packed, dtype, lengths) -> None:
    length, tolerance = 70, 1e-10 if dtype == torch.float64 else 1e-5
    module, batch = mixer(**form), meta(2, length, packed)
    x = normal(2, length, 48, dtype=dtype)
    with torch.no_grad():
        whole = module(x, batch)
        for p in lengths:
            state = module.init_state(2, length, x.device, dtype)
            state = state._replace(keys=state.keys.fill_(torch.nan), values=state.values.fill_(torch.nan))
            y, state = module.prefill(x[:, :p], piece(batch, slice(0, p)), state)
            steps = [y]
            for t in range(p, min(p + 3, length)):
                y, state = module.decode(x[:, t : t + 1], piece(batch, slice(t, t + 1)), state)
                steps.append(y)
            found = torch.cat(steps, dim=1)
            assert distance(found, whole[:, : found.shape[1]]) <= tolerance, p


@pytest.mark.parametrize("size", [1, 2, 5, 16, 64, 130])
@packings
def test_any_chunking_gives_the_same(mixer, meta, normal, piece, packed, size) -> None:
    length = 130
    module, batch = mixer(heads=4, kv_heads=2, window=50, qk_norm="before_rope"), meta(2, length, packed)
    x, upstream = normal(2, length, 48, dtype=torch.float64), normal(2, length, 48, seed=9, dtype=torch.float64)

    def run(pieces: list[slice]):
        leaf = x.clone().requires_grad_()
        state = module.init_state(2, length, x.device, x.dtype)
        outputs = []
        for part in pieces:
            y, state = module.prefill(leaf[:, part], piece(batch, part), state)
            outputs.append(y)
        y = torch.cat(outputs, dim=1)
        gradient = torch.autograd.grad((y * upstream).sum(), [leaf, *module.parameters()])
        return y, state, gradient

    leaf = x.clone().requires_grad_()
    whole = module(leaf, batch)
    wanted = torch.autograd.grad((whole * upstream).sum(), [leaf, *module.parameters()])
    y, state, gradient = run([slice(start, start + size) for start in range(0, length, size)])
    assert distance(y, whole) <= 1e-10
    assert all(distance(a, b) <= 1e-6 for a, b in zip(gradient, wanted, strict=True))  # weights' gradients are fp32
    _, once, _ = run([slice(0, length)])
    for row in range(2):
        n = int(state.lens[row])
        assert torch.equal(state.positions[row, :n], once.positions[row, :n])
        assert torch.equal(state.documents[row, :n], once.documents[row, :n])
        assert distance(state.keys[row, :n], once.keys[row, :n]) <= 1e-10
    assert torch.equal(state.lens, once.lens)
    assert torch.equal(state.doc, once.doc)


@implementations
@forms
def test_documents_do_not_see_each_other(mixer, meta, normal, form, implementation) -> None:
    module = mixer(implementation, **form)
    length = 65
    documents = torch.tensor([[4] * 20 + [5] + [7] * 40 + [-1] * 4], dtype=torch.int32)
    tokens = meta(1, length, False).tokens
    packed = type(meta(1, 2, False)).packed(tokens, documents)
    x = normal(1, length, 48, dtype=torch.float64).requires_grad_()
    upstream = normal(1, length, 48, seed=5, dtype=torch.float64)
    y = module(x, packed)
    (gradient,) = torch.autograd.grad((y * upstream).sum(), x)
    assert not y[:, 61:].any()
    assert not gradient[:, 61:].any()
    for part in (slice(0, 20), slice(20, 21), slice(21, 61)):
        alone = x[:, part].detach().requires_grad_()
        own = module(alone, type(packed).causal(tokens[:, part]))
        (wanted,) = torch.autograd.grad((own * upstream[:, part]).sum(), alone)
        assert distance(y[:, part], own) <= 1e-10
        assert distance(gradient[:, part], wanted) <= 1e-10
    edited = x.detach().clone()
    edited[:, :20] += 1
    changed = module(edited, packed)
    assert torch.equal(changed[:, 20:], y[:, 20:])
    assert not torch.equal(changed[:, :20], y[:, :20])


@packings
@forms
def test_sdpa_equals_the_reference(mixer, meta, normal, form, packed) -> None:
    _sdpa_and_reference(mixer, meta, normal, form, 65, packed)


@packings
@pytest.mark.parametrize("length", [1, 2, 63, 64, 257, 1000])
def test_sdpa_equals_the_reference_at_any_length(mixer, meta, normal, length, packed) -> None:
    _sdpa_and_reference(mixer, meta, normal, {"heads": 3, "kv_heads": 1, "head_width": 40}, length, packed)


def _sdpa_and_reference(mixer, meta, normal, form, length, packed) -> None:
    batch, results = meta(2, length, packed), []
    x, upstream = normal(length, 2, 48).transpose(0, 1), normal(2, length, 48, seed=6)  # x is not contiguous
    for implementation in ("sdpa", "reference"):
        module = mixer(implementation, **form)
        leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
        y = module(leaf, batch)
        results.append((y, torch.autograd.grad((y * upstream).sum(), [leaf, *module.parameters()])))
    assert distance(results[0][0], results[1][0]) <= 2e-6
    for found, wanted in zip(results[0][1], results[1][1], strict=True):
        if wanted.any():
            assert distance(found, wanted) <= 1e-5
        else:  # one visible key: its weight is 1 whatever the logit, and rounding is all that is left
            assert found.abs().max() <= 1e-5 * results[1][1][0].abs().max()


def in_bf16_throughout(q, k, v, mask, scale) -> torch.Tensor:
    """The definition with every tensor in bf16 and products accumulated in fp32: the error that bf16 costs anyway."""
    groups = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(groups, dim=2), v.repeat_interleave(groups, dim=2)
    logits = torch.einsum("bthd,bshd->bhts", q * scale, k)
    shown = (mask | ~mask.any(dim=-1, keepdim=True)).unsqueeze(1)
    weights = torch.softmax(logits.masked_fill(~shown, -torch.inf), dim=-1)
    return torch.einsum("bhts,bshd->bthd", weights, v) * mask.any(dim=-1)[:, :, None, None]


@packings
@forms
def test_bf16_rule(mixer, meta, normal, form, packed) -> None:
    """In bf16 the core is nearly as close to the fp64 result as the definition in bf16 is.

    The largest error has two units in the last place to spare: gradients of shared keys are summed over heads in bf16.
    """
    module, batch = mixer("sdpa", **form), meta(2, 65, packed)
    heads, kv_heads, width = module.config.heads, module.config.kv_heads, module.config.head_width
    mask, scale = visible(batch, module.window), width**-0.5
    rounded = [normal(2, 65, n, width, seed=i, dtype=torch.bfloat16) for i, n in enumerate([heads, kv_heads, kv_heads])]
    upstream = normal(2, 65, heads, width, seed=6, dtype=torch.bfloat16)

    def run(core, dtype: torch.dtype) -> list[torch.Tensor]:
        leaves = [x.to(dtype).requires_grad_() for x in rounded]
        y = core(*leaves)
        return [y, *torch.autograd.grad((y * upstream.to(dtype)).sum(), leaves)]

    exact = run(lambda q, k, v: attention(q, k, v, mask, scale), torch.float64)
    low = run(lambda q, k, v: in_bf16_throughout(q, k, v, mask, scale), torch.bfloat16)
    got = run(lambda q, k, v: module._core(q, k, v, batch), torch.bfloat16)
    for r64, r16, value in zip(exact, low, got, strict=True):
        size, rms = r64.abs().max(), r64.square().mean().sqrt()
        if size < 1e-6:  # queries and keys have no gradient where one key is seen
            assert value.abs().max() < 0.1
            continue
        assert (value - r64).abs().max() <= 2 * (r16 - r64).abs().max() + 2 * 2**-8 * size
        own, reference_error = ((v - r64).square().mean().sqrt() / rms for v in (value, r16))
        assert own <= max(0.005, 1.25 * reference_error)


@implementations
def test_two_runs_agree_in_every_bit(mixer, meta, normal, implementation) -> None:
    module, batch, upstream = mixer(implementation, heads=4, kv_heads=2), meta(2, 65, True), normal(2, 65, 48, seed=4)

    def run() -> list[torch.Tensor]:
        x = normal(2, 65, 48).requires_grad_()
        y = module(x, batch)
        return [y, *torch.autograd.grad((y * upstream).sum(), [x, *module.parameters()])]

    first = run()
    torch.use_deterministic_algorithms(True)  # fills uninitialised memory with NaN
    try:
        again = run()
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


@packings
def test_gradcheck_of_the_whole_mixer(mixer, meta, normal, piece, packed) -> None:
    """C7, with keys that carry gradient through the cache; weights are fp32, so only the input is perturbed."""
    module = mixer(width=6, kv_heads=1, head_width=4, qk_norm="after_rope", window=3)
    batch, x = meta(1, 6, packed), normal(1, 6, 6, dtype=torch.float64).requires_grad_()

    def by_cache(values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        state = module.init_state(1, 6, values.device, values.dtype)
        first, state = module.prefill(values[:, :4], piece(batch, slice(0, 4)), state)
        second, state = module.prefill(values[:, 4:], piece(batch, slice(4, None)), state)
        return first, second, state.keys[:, :3], state.values[:, :3]

    assert torch.autograd.gradcheck(lambda values: module(values, batch), x)
    assert torch.autograd.gradcheck(by_cache, x)


@implementations
@forms
def test_every_parameter_learns(mixer, meta, normal, form, implementation) -> None:
    module = mixer(implementation, **form)
    y = module(normal(2, 65, 48), meta(2, 65, True))
    (y * normal(2, 65, 48, seed=8)).sum().backward()
    alone = form.get("window") == 1  # one visible key: its weight is 1 whatever queries and keys are
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.norm() > 0 or (alone and name.split(".")[0] in ("query", "key")), name


def test_rows_of_padding_only(mixer, meta, normal) -> None:
    batch = meta(2, 9, False)
    documents = torch.zeros(2, 9, dtype=torch.int32)
    documents[1] = -1
    packed = type(batch).packed(batch.tokens, documents)
    for implementation in IMPLEMENTATIONS:
        x = normal(2, 9, 48).requires_grad_()
        y = mixer(implementation)(x, packed)
        (gradient,) = torch.autograd.grad(y.square().sum(), x)
        assert not y[1].any()
        assert not gradient[1].any()
        assert y[0].any()
        assert gradient.isfinite().all()
