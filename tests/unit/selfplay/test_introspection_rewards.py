"""What a forecast's error is worth: nothing for noise, the squared error where there is one, nothing at the gates."""

import numpy as np
import pytest

from tina_azr.introspection.types import Forecast, Plan
from tina_azr.selfplay.introspection_rewards import HIGHEST, LOWEST, calibration_surprise, centred, seed_legacy

DRAWS = 100_000
GROUP = 8


def passed(p: float) -> np.ndarray:
    """Pass rates of groups whose tasks are solved with probability p."""
    return np.random.default_rng(0).binomial(GROUP, p, size=DRAWS) / GROUP


def mean_surprise(p: float, c0: float) -> float:
    by_rate = {rate: calibration_surprise(rate, c0, GROUP) for rate in np.arange(GROUP + 1) / GROUP}
    return float(np.mean([by_rate[rate] for rate in passed(p).tolist()]))


@pytest.mark.parametrize(("p", "c0"), [(0.5, 0.5), (0.9, 0.5), (0.3, 0.7), (0.1, 0.1), (0.95, 0.2)])
def test_before_gate_and_clip_it_is_the_squared_error_of_the_forecast_without_bias(p: float, c0: float) -> None:
    rates = passed(p)
    estimates = (rates - c0) ** 2 - rates * (1 - rates) / (GROUP - 1)
    assert estimates.mean() == pytest.approx((p - c0) ** 2, abs=5 * estimates.std() / np.sqrt(DRAWS))
    for rate in (0.25, 0.5, 0.75):  # the function is that estimate, between the gates
        assert calibration_surprise(rate, c0, GROUP) == pytest.approx((rate - c0) ** 2 - rate * (1 - rate) / (GROUP - 1))


@pytest.mark.parametrize(("p", "c0", "mean"), [(0.5, 0.5, -0.002), (0.1, 0.1, -0.004), (0.9, 0.5, 0.052), (0.3, 0.7, 0.131)])
def test_gated_means_are_those_of_the_simulation(p: float, c0: float, mean: float) -> None:
    assert mean_surprise(p, c0) == pytest.approx(mean, abs=0.003)


@pytest.mark.parametrize("p", [0.05, 0.25, 0.5, 0.75, 0.95])
def test_noise_earns_nothing(p: float) -> None:
    assert mean_surprise(p, p) <= 0.001


@pytest.mark.parametrize("rate", [0.0, 1.0])
@pytest.mark.parametrize("c0", [0.0, 0.5, 1.0])
def test_impossible_and_trivial_tasks_earn_nothing_however_wrong_the_forecast(rate: float, c0: float) -> None:
    assert calibration_surprise(rate, c0, GROUP) == 0.0
    assert calibration_surprise(rate, c0, 1) == 0.0, "a group of one is always at a gate"


def test_it_stays_within_its_bounds() -> None:
    values = [
        calibration_surprise(rate / size, c0, size)
        for size in (2, 3, 8, 64)
        for rate in range(size + 1)
        for c0 in np.linspace(0, 1, 21).tolist()
    ]
    assert LOWEST <= min(values) < 0 < max(values) <= HIGHEST
    assert calibration_surprise(0.5, 0.5, 2) == LOWEST


def test_both_signs_of_a_wrong_forecast_count_alike() -> None:
    assert calibration_surprise(0.5, 0.1, GROUP) == pytest.approx(calibration_surprise(0.5, 0.9, GROUP))


def test_values_are_centred_in_each_mode() -> None:
    assert centred([1.0, 3.0, 10.0], ["deduction", "deduction", "abduction"]) == [-1.0, 1.0, 0.0]


def forecast(plan: Plan, c0: float, budget: float) -> Forecast:
    quantiles = {0.5: budget / 2, 0.8: budget, 0.95: 2 * budget}
    return Forecast(
        plan={plan: 1.0},
        plan_choice=plan,
        budget_quantiles=quantiles,
        confidence_before=c0,
        alpha_L=None,
        layers_L=(),
        plan_by_layer_L=None,
    )


@pytest.mark.parametrize(
    ("plan", "c0", "budget", "score"),
    [
        (Plan.STOP, 0.2, 3.0, 1.8),
        (Plan.STOP, 0.5, 50.0, 1.0),
        (Plan.VERIFY, 0.5, 50.0, 0.5),
        (Plan.OUTLINE, 0.49, 50.0, 0.7),
        (Plan.DECOMPOSE, 0.9, 6.0, 0.5),
        (Plan.DECOMPOSE, 0.9, 6.1, 0.2),
    ],
)
def test_the_founding_formula(plan: Plan, c0: float, budget: float, score: float) -> None:
    assert seed_legacy(forecast(plan, c0, budget), min_think_tokens=2) == pytest.approx(score)
