"""Labels for a calibration: what has none says so."""

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import numpy as np
import pytest

from tina_azr.errors import ScoreError
from tina_azr.introspection.fitting import ConfidenceLabels
from tina_azr.introspection.heads import HeadShape, build_heads
from tina_azr.introspection.introspector import Introspector
from tina_azr.introspection.scores import brier, quantile_coverage
from tina_azr.train.calibration.labels import (
    Digests,
    Predictions,
    cross_fitted,
    fit_calibration,
    predictions_of,
    scores_of,
)

Group = Callable[..., Any]
STATES = np.ones((2, 32), dtype=np.float32)
SHAPE = HeadShape(kind="tap", taps=(0, 1), hidden_size=32, width=8)


@pytest.fixture
def introspector() -> Introspector:
    """New heads."""
    return Introspector(build_heads(SHAPE, seed=0))


def test_no_tasks_are_refused(introspector: Introspector) -> None:
    with pytest.raises(ScoreError, match="there are no tasks to calibrate on"):
        predictions_of(introspector, [])


def test_thoughts_that_never_close_are_refused(introspector: Introspector, solved: Group, attempt: Group) -> None:
    with pytest.raises(ScoreError, match="no reasoning closed"):
        predictions_of(introspector, [solved([attempt(False, closed=False)])])


def test_nothing_can_be_said_of_budgets_where_no_answer_is_right(introspector: Introspector, solved: Group, attempt: Group) -> None:
    wrong = predictions_of(introspector, [solved([attempt(False, states=STATES)])])
    with pytest.raises(ScoreError, match="no correct answer finished its reasoning"):
        scores_of(wrong)


def test_calibrated_claims_of_the_labels_are_fitted_without_their_own_program() -> None:
    draw = np.random.default_rng(0)
    predicted = Predictions(
        c0=noise(draw, 1_200),
        cE=noise(draw, 1_200),
        forecasts={0.5: np.full(60, 10.0)},
        used_N=draw.integers(1, 20, 60).astype(float),
        used_group_N=np.arange(60).astype(str),
    )
    digests = Digests(policy="", heads="", tokenizer="")
    calibration = fit_calibration(predicted, method="isotonic", digests=digests, today=date(2026, 1, 1), draws=20)
    after = cross_fitted(predicted, calibration, method="isotonic")
    for labels, found in ((predicted.c0, calibration.c0), (predicted.cE, calibration.cE)):
        seen = brier(found.pooled.apply(labels.p_N), labels.y_N)
        unseen = brier((after.c0 if labels is predicted.c0 else after.cE).p_N, labels.y_N)
        assert seen < 0.25 < unseen == found.scores["brier"].after.value
    assert quantile_coverage(after.forecasts[0.5], after.used_N) == calibration.budget[0].coverage.after.value


def noise(draw: np.random.Generator, n: int) -> ConfidenceLabels:
    """Confidences that say nothing: only a fit that has seen the labels does better than a coin."""
    return ConfidenceLabels(
        p_N=draw.random(n),
        y_N=draw.permutation(np.tile([0.0, 1.0], n // 2)),
        mode_N=np.full(n, "a"),
        group_N=np.arange(n).astype(str),
    )


def test_tasks_of_one_program_are_never_parted(introspector: Introspector, solved: Group, attempt: Group) -> None:
    first, second = (solved([attempt(True, states=STATES)], key=key) for key in ("a", "b"))
    same = replace(second, task=replace(second.task, program=first.task.program.replace("x", "n"), mode="abduction"))
    predicted = predictions_of(introspector, [first, second, same])
    for groups in (predicted.c0.group_N, predicted.cE.group_N, predicted.used_group_N):
        assert groups[0] == groups[2] != groups[1]
