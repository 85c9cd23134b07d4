"""Tests of the heads: shapes of predictions, no gradient to or from the policy, and every parameter learns."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tina_azr.introspection.heads import EXTRAS, QUANTILES, HeadOutputs, HeadShape, build_heads
from tina_azr.introspection.heads_file import AnyHeads
from tina_azr.model.loading import Policy
from tina_azr.model.taps import Taps
from tina_azr.train.heads.losses import budget_loss, confidence_loss, plan_loss

Make = Callable[..., AnyHeads]
FORMS: tuple[dict[str, Any], ...] = (
    {"kind": "linear"},
    {"kind": "tap"},
    {"kind": "linked"},
    {"kind": "linked", "aggregator": "mean"},
    {"kind": "linked", "experts": 2},
    {"kind": "linked", "experts": 3, "aggregator": "mean"},
)
every_form = pytest.mark.parametrize("form", FORMS, ids=lambda form: "-".join(map(str, form.values())))


def states(count: int = 9, layers: int = 3, hidden: int = 12) -> Tensor:
    return torch.randn(count, layers, hidden, generator=torch.Generator().manual_seed(0))


def all_losses(heads: AnyHeads, states_NLH: Tensor) -> Tensor:
    count = len(states_NLH)
    draw = torch.Generator().manual_seed(1)
    predictions = heads.predict(states_NLH)
    lengths = torch.randint(0, 200, (count, 4), generator=draw)
    return torch.stack(
        [
            confidence_loss(predictions.c0_logits_N, torch.rand(count, generator=draw)),
            confidence_loss(
                heads.close_logits(states_NLH, torch.randn(count, EXTRAS, generator=draw)), torch.rand(count, generator=draw)
            ),
            budget_loss(predictions.log_quantiles_NQ, lengths, torch.zeros_like(lengths, dtype=torch.bool)),
            plan_loss(predictions.plan_logits_NP, torch.rand(count, 4, generator=draw).softmax(-1)),
        ]
    ).sum()


@pytest.mark.parametrize("aggregator", ["attention", "mean"])
def test_parameter_names_of_linked_heads_are_those_of_saved_heads(make_heads: Make, aggregator: str) -> None:
    trunk = ["layer_offset", "first.weight", "first.bias", "second.weight", "second.bias"]
    trunk += ["query.weight", "query.bias", "score.weight"] if aggregator == "attention" else []
    names = list(make_heads(kind="linked", aggregator=aggregator).state_dict())
    assert [name for name in names if "trunk" in name] == [f"{side}.{name}" for side in ("trunk", "close_trunk") for name in trunk]


@every_form
def test_every_parameter_of_every_form_learns(make_heads: Make, form: dict[str, Any]) -> None:
    heads = make_heads(**form)
    all_losses(heads, states()).backward()
    still = [name for name, parameter in heads.named_parameters() if parameter.grad is None or not parameter.grad.any()]
    assert still == []


@every_form
def test_head_losses_give_the_policy_no_gradient(byte_policy: Policy, form: dict[str, Any]) -> None:
    hidden = byte_policy.module.config.hidden_size
    heads = build_heads(HeadShape(taps=(0, 1), hidden_size=hidden, width=16, **form), seed=0)
    with Taps(byte_policy.module, (0, 1)) as taps:
        byte_policy.module(torch.tensor([[1, 2, 3, 4]]))
    all_losses(heads, taps.states([0] * 4, [0, 1, 2, 3])).backward()
    assert all(parameter.grad is None for parameter in byte_policy.module.parameters())


def test_a_policy_loss_gives_the_heads_no_gradient(byte_policy: Policy, make_heads: Make) -> None:
    heads = build_heads(HeadShape(kind="tap", taps=(0, 1), hidden_size=byte_policy.module.config.hidden_size), seed=0)
    with Taps(byte_policy.module, (0, 1)) as taps:
        logits = byte_policy.module(torch.tensor([[1, 2, 3, 4]])).logits
    heads.predict(taps.states([0], [-1]))
    logits.logsumexp(-1).sum().backward()
    assert all(parameter.grad is None for parameter in heads.parameters())
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in byte_policy.module.parameters())


@every_form
@pytest.mark.parametrize("scale", [0.0, 1.0, 100.0])
def test_quantiles_never_cross(make_heads: Make, form: dict[str, Any], scale: float) -> None:
    heads = make_heads(**form)
    with torch.no_grad():
        for parameter in heads.parameters():
            parameter.add_(scale * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(2)))
    predictions = heads.predict(states(200))
    assert predictions.log_quantiles_NQ.shape == (200, len(QUANTILES))
    assert bool((predictions.log_quantiles_NQ.diff(dim=-1) >= 0).all())


@every_form
def test_predictions_have_the_documented_shapes(make_heads: Make, form: dict[str, Any]) -> None:
    predictions: HeadOutputs = make_heads(**form).predict(states(5))
    linked = form["kind"] == "linked"
    attention = linked and form.get("aggregator", "attention") == "attention"
    assert predictions.plan_logits_NP.shape == (5, 4)
    assert predictions.c0_logits_N.shape == (5,)
    assert (predictions.alpha_NL is not None) == attention
    assert (predictions.plan_logits_NLP is not None) == linked
    assert (predictions.experts_NE is not None) == (form.get("experts", 1) > 1)
    for shares in (predictions.alpha_NL, predictions.experts_NE):
        if shares is not None:
            torch.testing.assert_close(shares.sum(-1), torch.ones(5))
    if predictions.plan_logits_NLP is not None:
        assert predictions.plan_logits_NLP.shape == (5, 3, 4)


@every_form
def test_predictions_for_a_prompt_do_not_depend_on_other_prompts(make_heads: Make, form: dict[str, Any]) -> None:
    heads = make_heads(**form)
    together, alone = heads.predict(states(7)), heads.predict(states(7)[3:4])
    torch.testing.assert_close(together.c0_logits_N[3:4], alone.c0_logits_N)
    torch.testing.assert_close(together.log_quantiles_NQ[3:4], alone.log_quantiles_NQ)


@every_form
def test_predictions_do_not_depend_on_the_scale_of_a_layer(make_heads: Make, form: dict[str, Any]) -> None:
    heads = make_heads(**form)
    scales = torch.tensor([0.1, 10.0, 1000.0])[:, None]
    torch.testing.assert_close(
        heads.predict(states() * scales).c0_logits_N, heads.predict(states()).c0_logits_N, atol=1e-4, rtol=1e-4
    )


@every_form
def test_new_heads_depend_on_their_seed_and_keep_torchs_random_state(make_heads: Make, form: dict[str, Any]) -> None:
    before = torch.random.get_rng_state()
    first = make_heads(**form, seed=5)
    torch.randn(3)
    torch.random.set_rng_state(before)
    second, other = make_heads(**form, seed=5), make_heads(**form, seed=6)
    assert torch.equal(torch.random.get_rng_state(), before)
    pairs = list(zip(first.state_dict().items(), second.state_dict().values(), strict=True))
    assert all(torch.equal(one, two) for (_, one), two in pairs)
    assert not all(torch.equal(one, other.state_dict()[name]) for (name, one), _ in pairs)


def test_untrained_heads_give_moderate_predictions(make_heads: Make) -> None:
    predictions = make_heads("tap").predict(states(100))
    assert bool((predictions.c0_logits_N.sigmoid() - 0.5).abs().max() < 0.25)
    assert bool((predictions.log_quantiles_NQ[:, 0].expm1() > 5).all())
    assert bool((predictions.log_quantiles_NQ[:, -1].expm1() < 500).all())
