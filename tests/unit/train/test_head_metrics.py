"""Forecasts of one step against what came of it, in numbers."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tina_azr.introspection.types import Forecast, Plan
from tina_azr.selfplay.types import Episode, PlanProbe, RolloutGroup
from tina_azr.train.heads.learner import HeadReport
from tina_azr.train.heads.metrics import introspection_metrics

Group = Callable[..., Any]
REPORT = HeadReport(labels=64, c0_loss=0.6, cE_loss=0.5, budget_loss=0.2, plan_loss=1.1)


def forecast(c0: float, *quantiles: float) -> Forecast:
    return Forecast(
        plan={Plan.OUTLINE: 0.1, Plan.VERIFY: 0.2, Plan.DECOMPOSE: 0.3, Plan.STOP: 0.4},
        plan_choice=Plan.STOP,
        budget_quantiles=dict(zip((0.5, 0.8, 0.95), quantiles, strict=True)),
        confidence_before=c0,
        alpha_L=None,
        layers_L=(0, 1),
        plan_by_layer_L=None,
    )


def metrics(groups: list[RolloutGroup]) -> dict[str, float | None]:
    found = introspection_metrics(Episode(step=1, proposals=(), groups=tuple(groups), rollouts=()), REPORT)
    assert found is not None
    return found


@pytest.fixture
def groups(solved: Group, attempt: Group) -> list[RolloutGroup]:
    easy = [replace(attempt(True, length), confidence_after=0.9) for length in (4, 6, 8)]
    hard = [
        replace(attempt(True, 40), confidence_after=0.6),
        replace(attempt(False, 90), confidence_after=0.2),
        replace(attempt(False, 90), confidence_after=None),
    ]
    return [
        solved(easy, forecast=forecast(0.8, 5.0, 7.0, 30.0), probe=PlanProbe(stop_rate=1.0, values={})),
        solved(hard, forecast=forecast(0.4, 50.0, 60.0, 70.0), probe=PlanProbe(stop_rate=0.0, values={})),
    ]


def test_numbers_are_those_of_the_steps_outcomes(groups: list[RolloutGroup]) -> None:
    found = metrics(groups)
    expected = {
        "labels": 64.0,
        "accuracy": 2 / 3,
        "c0": 0.6,
        "c0_brier": (0.2**2 + (1 / 3) * 0.6**2 + (2 / 3) * 0.4**2) / 2,  # over rollouts, not over rates
        "cE": (3 * 0.9 + 0.6 + 0.2) / 5,
        "cE_brier": (3 * 0.1**2 + 0.4**2 + 0.2**2) / 5,
        "cE_auroc": 1.0,
        "budget": 33.5,
        "used": (4 + 6 + 8 + 40) / 4,
        "coverage_50": 2 / 4,  # 4 and 40
        "coverage_80": 3 / 4,  # and 6
        "coverage_95": 1.0,
        "plan_outline": 0.1,
        "plan_stop": 0.4,
        "stop_right": 0.5,
        "c0_loss": 0.6,
        "budget_loss": 0.2,
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert found["spearman"] == pytest.approx(0.7746, abs=1e-3)
    assert found["surprise"] is None


def test_thoughts_that_were_cut_are_no_evidence_of_length(solved: Group, attempt: Group) -> None:
    cut = attempt(True, 20, forced=4)
    found = metrics([solved([cut, attempt(False, 9)], forecast=forecast(0.5, 1.0, 2.0, 3.0))])
    assert (found["used"], found["coverage_95"], found["spearman"]) == (None, None, None)


def test_thoughts_under_a_predicted_wall_are_no_evidence_of_coverage(solved: Group, attempt: Group) -> None:
    free, budgeted = (
        solved([attempt(True, length)], forecast=forecast(0.5, 1.0, 2.0, 3.0), budgeted=budgeted)
        for length, budgeted in ((9, False), (2, True))
    )
    found = metrics([free, budgeted])
    assert (found["used"], found["coverage_80"]) == (9.0, 0.0)


def test_a_step_that_says_nothing_has_no_numbers() -> None:
    found = metrics([])
    assert {name for name, value in found.items() if value is not None} == {
        "labels",
        "c0_loss",
        "cE_loss",
        "budget_loss",
        "plan_loss",
    }


def test_a_run_without_heads_has_none() -> None:
    assert introspection_metrics(Episode(step=1, proposals=(), groups=(), rollouts=()), None) is None
