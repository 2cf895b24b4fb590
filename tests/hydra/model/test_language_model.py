"""The whole model: its loss, its laws (causality, isolation, decoding), and that every parameter learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from hydra.attention import SeqMeta
from hydra.errors import Unsupported, UsageError
from hydra.model import LanguageModel

forms = pytest.mark.parametrize("form", ["small", "rich"])


@pytest.fixture(scope="module")
def made(model, config, rich):
    """Models by name, built once."""
    return {
        "small": model(),
        "rich": model(config(rich, head={"tied": False, "softcap": 5.0}, embedding_norm=True, init_std=0.2)),
    }


def gradients(built: LanguageModel, tokens, targets, meta) -> dict[str, torch.Tensor]:
    total, _ = built(tokens, targets, meta)
    found = torch.autograd.grad(total, list(built.parameters()))
    return dict(zip([name for name, _ in built.named_parameters()], found, strict=True))


@forms
def test_the_loss_is_cross_entropy_of_the_logits(made, batch, form) -> None:
    tokens, targets, meta = batch()
    total, rows = made[form](tokens, targets, meta)
    logits = made[form].logits(tokens, meta)
    losses = functional.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none")
    assert torch.allclose(total, losses.sum(), rtol=1e-5)
    assert torch.allclose(rows, losses.view(2, -1).sum(1), rtol=1e-5)
    assert not rows.requires_grad
    assert total.dtype == rows.dtype == logits.dtype == torch.float32


@forms
@pytest.mark.parametrize("nudge", [0.0, 0.02])
def test_the_loss_reaches_every_parameter(model, made, batch, form, nudge) -> None:
    built, (tokens, targets, meta) = made[form], batch(length=128)
    before = {name: value.detach().clone() for name, value in built.named_parameters()}
    with torch.no_grad():
        for value in built.parameters():
            value.add_(nudge * torch.randn(value.shape, generator=torch.Generator().manual_seed(1)))
    for name, gradient in gradients(built, tokens, targets, meta).items():
        assert gradient.isfinite().all(), name
        assert gradient.norm() > 0, name
    with torch.no_grad():
        for name, value in built.named_parameters():
            value.copy_(before[name])


@forms
def test_gradients_agree_with_fp64(model, config, rich, batch, form) -> None:
    section = config() if form == "small" else config(rich, head={"tied": False, "softcap": 5.0}, embedding_norm=True)
    found = gradients(model(section), *batch())
    exact = gradients(model(section, compute=torch.float64, pins={"attention": "reference"}), *batch())
    for name, wanted in exact.items():
        assert (found[name] - wanted).norm() <= 1e-4 * wanted.norm(), name


@forms
def test_bf16_is_close(model, config, rich, batch, form) -> None:
    section = config() if form == "small" else config(rich)
    tokens, targets, meta = batch()
    low, exact = (model(section, compute=dtype)(tokens, targets, meta)[0] for dtype in (torch.bfloat16, torch.float32))
    assert low.dtype == torch.float32
    assert abs(low - exact) < 0.01 * exact


@forms
def test_a_later_token_changes_nothing_before_it(made, batch, form) -> None:
    tokens, _, meta = batch(packed=False)
    other = tokens.clone()
    other[:, 29] = (other[:, 29] + 1) % 64
    with torch.no_grad():
        before, after = made[form].logits(tokens, meta), made[form].logits(other, replace(meta, tokens=other))
    assert torch.equal(before[:, :29], after[:, :29])
    assert not torch.equal(before[:, 29:], after[:, 29:])


@forms
def test_a_document_changes_no_other(made, batch, form) -> None:
    tokens, _, meta = batch()
    other = tokens.clone()
    other[:, :13] = (other[:, :13] + 1) % 64
    with torch.no_grad():
        before, after = made[form].logits(tokens, meta), made[form].logits(other, replace(meta, tokens=other))
        alone = made[form].logits(tokens[1:, 20:], SeqMeta.causal(tokens[1:, 20:]))
    assert torch.equal(before[:, 13:], after[:, 13:])
    assert not torch.equal(before[:, :13], after[:, :13])
    assert torch.allclose(before[1:, 20:], alone, atol=1e-5)


@forms
@pytest.mark.parametrize("prompt", [1, 17, 39])
def test_decoding_equals_the_whole_sequence(made, batch, form, prompt) -> None:
    tokens, _, _ = batch(packed=False)
    built = made[form]
    with torch.no_grad():
        wanted = built.logits(tokens, SeqMeta.causal(tokens))
        state = built.init_state(2, 40)
        logits, state = built.prefill(tokens[:, :prompt], SeqMeta.causal(tokens[:, :prompt]), state)
        assert torch.allclose(logits, wanted[:, prompt - 1], atol=1e-5)
        for t in range(prompt, 40):
            step = tokens[:, t : t + 1]
            logits, state = built.decode(step, SeqMeta.causal(step, t), state)
            assert torch.allclose(logits, wanted[:, t], atol=1e-5)


def test_prefill_takes_rows_of_different_length(made, batch) -> None:
    tokens, _, meta = batch(packed=False)
    documents = torch.zeros_like(meta.documents)
    documents[1, 25:] = -1
    built = made["small"]
    with torch.no_grad():
        logits, _ = built.prefill(tokens, replace(meta, documents=documents), built.init_state(2, 40))
        short = built.logits(tokens[1:, :25], SeqMeta.causal(tokens[1:, :25]))
    assert torch.allclose(logits[1], short[0, -1], atol=1e-5)


def test_batch_metadata_is_derived_once_for_all_layers(made, batch, monkeypatch) -> None:
    tokens, targets, meta = batch()
    built, made_tables = made["small"], []
    mixer = type(built.mixers[0])
    original = mixer._angles
    monkeypatch.setattr(mixer, "_angles", lambda self, meta: made_tables.append(1) or original(self, meta))
    built(tokens, targets, meta)
    assert len(built.blocks) == 2
    assert len(made_tables) == 1


def test_too_long_rows_are_refused(made, batch) -> None:
    tokens, targets, meta = batch(length=129)
    with pytest.raises(UsageError, match="rows of 129 tokens"):
        made["small"](tokens, targets, meta)
    with pytest.raises(UsageError, match="a state for 129 tokens"):
        made["small"].init_state(1, 129)


def test_tied_and_untied_heads(model, config) -> None:
    tied, untied = model(), model(config(head={"tied": False}))
    names = [name for name, _ in untied.named_parameters()]
    assert "head.weight" in names
    assert "head.weight" not in dict(tied.named_parameters())
    assert sum(p.numel() for p in untied.parameters()) - sum(p.numel() for p in tied.parameters()) == 64 * 32


def test_block_kinds_and_regions(model, config, rich) -> None:
    built = model(config((rich[0], rich[1], rich[0], {**rich[1], "mlp": {"kind": "geglu", "hidden": 16}})))
    assert built.kinds() == ["softmax.relu_squared", "softmax.geglu", "softmax.relu_squared", "softmax.geglu-2"]
    assert [kind for kind, _ in built.regions()] == ["norm", *built.kinds()]
    named = model(config(embedding_norm=True))
    assert [module for _, module in named.regions()] == [named.embedding_norm, named.norm, *named.blocks]


def test_pins_reach_every_op(model) -> None:
    built = model(pins={"attention": "reference", "linear_cross_entropy": "chunked"})
    assert [mixer.implementation for mixer in built.mixers] == ["reference", "reference"]
    assert built.head.choice.implementation == "chunked"
    with pytest.raises(Unsupported, match="cannot run on this cpu"):
        model(pins={"attention": "flash"})


@forms
def test_the_report_names_what_runs(made, form) -> None:
    from hydra.kernels import report
    from hydra.platform import capabilities

    rows = {row.op: row for row in report(made[form], capabilities("cpu"), compiled=False).rows}
    wanted = {"attention", "attention_cached", "rope", "rms_norm", "linear_cross_entropy"}
    assert set(rows) == wanted | ({"swiglu"} if form == "small" else {"layer_norm", "relu_squared", "geglu"})
    assert {row.status for row in rows.values()} == {"verified"}
    assert rows["attention"].runs == "sdpa"
    assert "window 9" in rows["attention"].why or form == "small"


@pytest.mark.parametrize(
    "options",
    [
        {"head": {"softcap": 0.5}},
        {"head": {"tied": False}},
        {"embedding_norm": True},
        {"init_std": 0.03},
        {"width": 48},
    ],
    ids=str,
)
def test_every_option_of_the_model_has_an_effect(model, config, batch, options) -> None:
    tokens, _, meta = batch()
    with torch.no_grad():
        assert not torch.allclose(
            model(config(**options)).logits(tokens, meta), model().logits(tokens, meta), atol=1e-3
        )
