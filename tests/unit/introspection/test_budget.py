"""Tests of budgets and think limits."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tina_azr.errors import ConfigError, ServeError
from tina_azr.introspection.budget import BudgetSettings, SmallBudget, decide_budget
from tina_azr.introspection.types import BudgetDecision, BudgetSource

FORECAST = {0.5: 100.0, 0.8: 200.0, 0.95: 260.0}
ROOMY = 100_000


def decide(
    quantiles: dict[float, float] | None = FORECAST, *, max_tokens: int = ROOMY, closing: int = 3, **given: Any
) -> BudgetDecision:
    request = {key: given.pop(key) for key in ("budget_tokens", "budget_quantile") if key in given}
    return decide_budget(quantiles, max_tokens=max_tokens, closing_tokens=closing, settings=BudgetSettings(**given), **request)


def test_predicted_think_limit_is_the_upper_quantile() -> None:
    assert decide() == BudgetDecision(budget=200, think_limit=260, source=BudgetSource.PREDICTED)


def test_learned_slack_stays_within_its_bounds() -> None:
    assert decide({**FORECAST, 0.95: 5_000.0}).think_limit == 400
    assert decide({**FORECAST, 0.95: 200.0}).think_limit == 220
    assert decide({**FORECAST, 0.95: 200.0}, slack_min=0.0).think_limit == 200


def test_slack_is_the_setting_without_an_upper_quantile() -> None:
    assert decide(slack_quantile=None).think_limit == 300
    assert decide({0.8: 200.0}).think_limit == 300


def test_a_request_may_choose_the_quantile() -> None:
    assert decide(budget_quantile=0.5).budget == 100
    assert decide(budget_quantile=0.95).budget == 260


def test_a_requested_number_is_kept_with_the_constant_slack() -> None:
    assert decide(budget_tokens=80) == BudgetDecision(budget=80, think_limit=120, source=BudgetSource.REQUESTED)
    assert decide(None, budget_tokens=5).budget == 5


def test_think_limit_is_rounded_up_without_float_error() -> None:
    assert decide(budget_tokens=101).think_limit == 152
    assert decide(budget_tokens=100, slack=0.1).think_limit == 110


def test_without_heads_the_budget_is_max_think_tokens() -> None:
    assert decide(None) == BudgetDecision(budget=4_096, think_limit=6_144, source=BudgetSource.DEFAULT)
    assert "no heads" in str(decide(None, budget_quantile=0.5).warning)


def test_budget_of_zero_gives_a_think_limit_of_zero() -> None:
    assert decide(budget_tokens=0, min_think_tokens=10) == BudgetDecision(budget=0, think_limit=0, source=BudgetSource.REQUESTED)


def test_budgets_are_clamped_to_min_and_max() -> None:
    assert decide(None, budget_tokens=3, min_think_tokens=10).budget == 10
    assert decide(budget_tokens=9_999).budget == 4_096
    assert decide({0.5: 0.2, 0.8: 0.3, 0.95: 0.4}).budget == 1
    assert decide({0.5: 9e9, 0.8: 9e9, 0.95: math.inf}).budget == 4_096


def test_budget_clip_applies_only_to_predictions() -> None:
    assert decide(budget_clip=150).budget == 150
    assert decide(budget_clip=150, budget_tokens=180).budget == 180


def test_a_small_request_is_raised_warned_about_or_kept() -> None:
    raised = decide(budget_tokens=14)
    assert (raised.budget, raised.think_limit) == (15, 23)
    assert raised.warning == "A budget of 14 think tokens is below 15% of the 100 that are predicted: it was raised to 15."
    warned = decide(budget_tokens=14, small_budget=SmallBudget.WARN)
    assert warned.budget == 14
    assert str(warned.warning).endswith("the answer may suffer, and contain reasoning.")
    kept = decide(budget_tokens=14, small_budget=SmallBudget.KEEP)
    assert (kept.budget, kept.warning) == (14, None)
    assert decide(budget_tokens=15).warning is None


def test_settings_far_below_the_prediction_cause_a_warning() -> None:
    far = decide({0.5: 40_000.0, 0.8: 60_000.0, 0.95: 90_000.0})
    assert far.budget == 4_096
    assert str(far.warning).startswith("The settings allow 4096 think tokens, below 15% of the 40000 that are predicted")
    assert decide({0.5: 20_000.0, 0.8: 60_000.0, 0.95: 90_000.0}).warning is None


def test_request_above_the_maximum_is_lowered_with_a_warning() -> None:
    assert decide(budget_tokens=4_096).warning is None
    lowered = decide(budget_tokens=5_000)
    assert (lowered.budget, lowered.source) == (4_096, BudgetSource.REQUESTED)
    assert lowered.warning == "5000 think tokens were requested; the maximum is 4096, so the budget was lowered to it."


def test_few_tokens_are_split_between_reasoning_and_answer() -> None:
    shared = decide(max_tokens=100, answer_reserve=128, closing=3)
    assert (shared.budget, shared.think_limit) == (47, 47)
    assert "of 100 tokens in all, 50 are kept for the answer and 3 for closing" in str(shared.warning)


def test_answer_reserve_is_kept() -> None:
    cut = decide(max_tokens=400, answer_reserve=150, closing=24)
    assert (cut.budget, cut.think_limit) == (200, 226)
    assert cut.warning == (
        "The think limit was lowered from 260 to 226 think tokens: of 400 tokens in all, 150 are kept for the answer and 24 for "
        "closing the reasoning. More max_tokens leave more room."
    )
    tight = decide(max_tokens=300, answer_reserve=150, closing=24)
    assert (tight.budget, tight.think_limit) == (126, 126)
    none = decide(max_tokens=6, answer_reserve=150, closing=3)
    assert (none.budget, none.think_limit) == (0, 0)
    assert "lowered from 260 to 0" in str(none.warning)


def test_two_warnings_are_both_given() -> None:
    both = str(decide(budget_tokens=14, max_tokens=20, answer_reserve=10, closing=3).warning)
    assert "raised to 15" in both and "lowered from 23 to 7" in both


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"budget_tokens": -1}, "budget_tokens is -1, but must be 0"),
        ({"budget_tokens": 5, "budget_quantile": 0.5}, "not both"),
        ({"budget_quantile": 0.9}, r"no budget quantile 0\.9; the heads forecast 0\.5, 0\.8, 0\.95"),
    ],
)
def test_requests_that_contradict_themselves_are_refused(request_: dict[str, Any], said: str) -> None:
    with pytest.raises(ServeError, match=said):
        decide(**request_)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"quantile": 1.0}, "quantile is 1, but must lie between 0 and 1"),
        ({"slack_quantile": 0.0}, "slack_quantile is 0"),
        ({"slack": -0.1}, "slack is -0.1"),
        ({"slack": math.nan}, "slack is nan"),
        ({"slack_min": 2.0}, "slack_min 2 and slack_max 1"),
        ({"min_think_tokens": 9_000}, "min_think_tokens 9000 is above max_think_tokens 4096"),
        ({"min_think_tokens": -1}, "min_think_tokens is -1, but must be at least 0"),
        ({"budget_clip": 0}, "budget_clip is 0, but must be at least 1"),
        ({"answer_reserve": -1}, "answer_reserve is -1"),
        ({"small_share": 1.0}, "small_share is 1"),
    ],
)
def test_settings_out_of_bounds_are_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        BudgetSettings(**wrong)


TOKENS = st.integers(0, 20_000)
SETTINGS = st.builds(
    BudgetSettings,
    slack=st.floats(0, 3),
    slack_min=st.floats(0, 0.5),
    slack_max=st.floats(0.5, 3),
    slack_quantile=st.sampled_from([None, 0.95]),
    min_think_tokens=st.integers(0, 100),
    max_think_tokens=st.integers(100, 8_192),
    budget_clip=st.none() | st.integers(1, 8_192),
    answer_reserve=st.integers(0, 1_000),
    small_budget=st.sampled_from(SmallBudget),
    small_share=st.floats(0, 0.9),
)
FORECASTS = st.none() | st.lists(st.floats(0, 1e6), min_size=3, max_size=3).map(
    lambda q: dict(zip((0.5, 0.8, 0.95), sorted(q), strict=True))
)


@given(FORECASTS, st.none() | TOKENS, TOKENS, st.integers(0, 40), SETTINGS)
def test_budget_and_think_limit_stay_within_bounds(
    quantiles: dict[float, float] | None, tokens: int | None, max_tokens: int, closing: int, settings: BudgetSettings
) -> None:
    found = decide_budget(quantiles, budget_tokens=tokens, max_tokens=max_tokens, closing_tokens=closing, settings=settings)
    room = max(max_tokens - min(settings.answer_reserve, (max_tokens + 1) // 2) - closing, 0)
    assert 0 <= found.budget <= found.think_limit <= room
    assert found.budget <= settings.max_think_tokens
    if room > 0 and tokens != 0:
        assert found.budget >= min(settings.min_think_tokens, room)


@given(FORECASTS, TOKENS, TOKENS, TOKENS, SETTINGS)
def test_larger_request_never_gives_a_smaller_budget(
    quantiles: dict[float, float] | None, one: int, other: int, max_tokens: int, settings: BudgetSettings
) -> None:
    low, high = (
        decide_budget(quantiles, budget_tokens=tokens, max_tokens=max_tokens, closing_tokens=3, settings=settings)
        for tokens in sorted((one, other))
    )
    assert low.budget <= high.budget
    assert low.think_limit <= high.think_limit


@given(FORECASTS.filter(bool), TOKENS, SETTINGS)
def test_higher_quantile_never_gives_a_smaller_budget(
    quantiles: dict[float, float], max_tokens: int, settings: BudgetSettings
) -> None:
    found = [
        decide_budget(quantiles, budget_quantile=q, max_tokens=max_tokens, closing_tokens=3, settings=settings)
        for q in (0.5, 0.8, 0.95)
    ]
    assert [f.budget for f in found] == sorted(f.budget for f in found)
    assert [f.think_limit for f in found] == sorted(f.think_limit for f in found)
