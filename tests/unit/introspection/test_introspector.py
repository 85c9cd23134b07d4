"""Tests of the introspector: from head outputs to calibrated forecasts."""

import numpy as np
import pytest
import torch

from tina_azr.errors import ModelError
from tina_azr.introspection.calibration import Calibration
from tina_azr.introspection.heads import PLANS, HeadShape, build_heads
from tina_azr.introspection.introspector import Introspector, close_extras, reasoning_extras
from tina_azr.introspection.types import Plan
from tina_azr.rollout.types import Completion, StopCause

STATES = np.random.default_rng(0).normal(size=(5, 3, 12)).astype(np.float32)


def introspector(kind: str = "linked", **calibration: object) -> Introspector:
    shape = HeadShape(kind=kind, taps=(1, 4, 7), hidden_size=12, width=8)  # type: ignore[arg-type]
    return Introspector(build_heads(shape, seed=0), Calibration(**calibration))  # type: ignore[arg-type]


def test_plans_have_the_order_of_the_heads_logits() -> None:
    assert [str(plan) for plan in Plan] == ["outline", "verify", "decompose", "stop"]
    assert len(Plan) == PLANS
    reader = introspector()
    logits = reader.heads.predict(torch.from_numpy(STATES)).plan_logits_NP.detach().softmax(-1)
    for forecast, row in zip(reader.forecasts(STATES), logits.tolist(), strict=True):
        assert list(forecast.plan.values()) == pytest.approx(row)


def test_quantiles_are_think_tokens_and_rise() -> None:
    reader = introspector()
    raw = reader.heads.predict(torch.from_numpy(STATES)).log_quantiles_NQ.detach().expm1().tolist()
    for forecast, row in zip(reader.forecasts(STATES), raw, strict=True):
        assert list(forecast.budget_quantiles) == [0.5, 0.8, 0.95]
        assert list(forecast.budget_quantiles.values()) == pytest.approx(row) == sorted(row)


def test_extreme_head_outputs_give_finite_forecasts() -> None:
    reader = introspector("tap")
    with torch.no_grad():
        reader.heads.outputs.quantiles.bias.copy_(torch.tensor([500.0, -800.0, 900.0]))  # type: ignore[union-attr]
    for forecast in reader.forecasts(STATES):
        assert all(np.isfinite(tokens) and tokens >= 0 for tokens in forecast.budget_quantiles.values())


def test_only_linked_heads_give_diagnostics_by_layer() -> None:
    linked, plain = introspector().forecasts(STATES)[0], introspector("tap").forecasts(STATES)[0]
    assert linked.alpha_L is not None
    assert sum(linked.alpha_L) == pytest.approx(1.0)
    assert linked.plan_by_layer_L is not None
    assert len(linked.plan_by_layer_L) == len(linked.alpha_L) == 3
    assert (plain.alpha_L, plain.plan_by_layer_L, plain.layers_L) == (None, None, (1, 4, 7))


def test_forecasts_are_calibrated() -> None:
    raw, clipped = introspector().forecasts(STATES)[0], introspector(budget_clip=10).forecasts(STATES)[0]
    assert max(raw.budget_quantiles.values()) > 10
    assert max(clipped.budget_quantiles.values()) == 10
    unlikely = introspector(plan_thresholds={raw.plan_choice: 0.99}).forecasts(STATES)[0]
    assert unlikely.plan_choice is not raw.plan_choice


def test_heads_are_read_as_they_are_trained_in_place() -> None:
    reader = introspector("linear")
    before = reader.forecasts(STATES)[0].confidence_before
    with torch.no_grad():
        reader.heads.outputs.c0.bias += 2.0  # type: ignore[union-attr]
    assert reader.forecasts(STATES)[0].confidence_before > before


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_states_that_are_not_finite_are_refused(wrong: float) -> None:
    states = STATES.copy()
    states[2, 1, 3] = wrong
    reader = introspector()
    with pytest.raises(ModelError, match="not finite"):
        reader.forecasts(states)
    with pytest.raises(ModelError, match="not finite"):
        reader.close_confidences(STATES, np.full((5, 3), wrong, dtype=np.float32))


def test_reasoning_features() -> None:
    forced = np.array([False, False, True])
    length, mean, closed = reasoning_extras(np.array([-1.0, -3.0, 0.0], dtype=np.float32), forced).tolist()
    assert length == pytest.approx(np.log1p(2) / 10)
    assert (mean, closed) == (-2.0, 1.0)
    assert reasoning_extras(np.empty(0, dtype=np.float32), np.empty(0, dtype=np.bool_)).tolist() == [0.0, 0.0, 0.0]


def test_reasoning_features_ignore_the_answer() -> None:
    completion = Completion(
        ids_T=np.arange(5),
        logprobs_T=np.array([-1.0, -3.0, -0.1, -9.0, -9.0], dtype=np.float32),
        forced_T=np.zeros(5, dtype=np.bool_),
        stop_cause=StopCause.STOP_ID,
        think_tokens=2,
        forced_close=False,
    )
    assert close_extras(completion).tolist() == reasoning_extras(completion.logprobs_T[:2], completion.forced_T[:2]).tolist()
