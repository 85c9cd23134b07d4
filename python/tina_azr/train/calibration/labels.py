"""Calibration labels: predictions of the heads with verdicts of the sandbox on tasks that the heads never learned from; fit and scores.

Axes: `_N` labels, `_L` tapped layers, `_H` hidden.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import numpy as np
from numpy.typing import NDArray

from tina_azr.config import Config
from tina_azr.errors import ScoreError
from tina_azr.introspection.calibration import Calibration, ConfidenceCalibration
from tina_azr.introspection.fitting import (
    ConfidenceLabels,
    Method,
    cross_fitted_budget,
    cross_fitted_confidence,
    fit_budget,
    fit_confidence,
)
from tina_azr.introspection.introspector import Introspector, close_extras
from tina_azr.introspection.scores import Interval, auroc, brier, ece, interval, quantile_coverage, spearman
from tina_azr.model.loading import Policy
from tina_azr.rollout.decode import DecodeEngine
from tina_azr.rollout.types import SamplingParams
from tina_azr.sandbox.types import Executor
from tina_azr.selfplay.solving import grade_rollouts, sample_rollouts
from tina_azr.selfplay.types import RolloutGroup
from tina_azr.tasks.types import Task, Verdict
from tina_azr.train.heads.labels import program_digest

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Predictions of one set of heads, with the labels that they are scored against."""

    c0: ConfidenceLabels
    """A label for each task: its pass rate."""
    cE: ConfidenceLabels
    """A label for each rollout whose reasoning closed."""
    forecasts: Mapping[float, Floats]
    """Reasoning tokens by quantile, for each correct rollout that closed by itself."""
    used_N: Floats
    """Reasoning tokens that it took."""
    used_group_N: NDArray[np.str_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """Digests of the files that a calibration belongs to."""

    policy: str
    heads: str
    tokenizer: str


def sample_labels(
    policy: Policy,
    executor: Executor,
    tasks: Sequence[Task],
    taps: Sequence[int],
    config: Config,
    *,
    samples: int,
    seeds: Sequence[int],
    on_progress: Callable[[int, int], None] | None = None,
) -> list[RolloutGroup]:
    """Sample and grade `samples` rollouts of each task as self-play does, without a predicted think limit."""
    play = config.selfplay
    groups = sample_rollouts(
        policy,
        DecodeEngine(policy, slots=play.slots, taps=taps),
        tasks,
        group_size=samples,
        params=SamplingParams(max_tokens=play.max_tokens, temperature=play.temperature, think_limit=play.think_limit),
        seeds=seeds,
        on_progress=on_progress,
    )
    return grade_rollouts(executor, groups)


def predictions_of(introspector: Introspector, groups: Sequence[RolloutGroup]) -> Predictions:
    """Read the states of graded rollouts. Pass heads without calibration for a fit, with one for scores after it.

    Raises ScoreError if there are no tasks, or no reasoning closed.
    """
    if not groups:
        raise ScoreError("there are no tasks to calibrate on: train the run longer, or raise introspection.calibration_share")
    modes = [group.task.mode for group in groups]
    states = np.stack([group.prompt_states_LH for group in groups if group.prompt_states_LH is not None])
    forecasts = introspector.forecasts(states, modes)
    # Tasks of one program are alike: they are drawn and left out together.
    names = [program_digest(group.task) for group in groups]
    closed = [
        (name, mode, rollout.completion.close_states_LH, close_extras(rollout.completion), rollout.verdict is Verdict.CORRECT)
        for name, mode, group in zip(names, modes, groups, strict=True)
        for rollout in group.rollouts
        if rollout.completion.close_states_LH is not None
    ]
    if not closed:
        raise ScoreError(
            "no reasoning closed, so confidence after reasoning cannot be fitted: raise selfplay.max_tokens or set "
            "selfplay.think_limit"
        )
    close_names, close_modes, close_states, extras, correct_M = zip(*closed, strict=True)
    confidences = introspector.close_confidences(np.stack(close_states), np.stack(extras), close_modes)
    lengths = [
        (name, forecast.budget_quantiles, rollout.completion.think_tokens)
        for name, forecast, group in zip(names, forecasts, groups, strict=True)
        for rollout in group.rollouts
        if rollout.verdict is Verdict.CORRECT and not rollout.completion.forced_close
    ]
    levels = tuple(forecasts[0].budget_quantiles)
    return Predictions(
        c0=ConfidenceLabels(
            p_N=np.array([forecast.confidence_before for forecast in forecasts]),
            y_N=np.array([np.mean([rollout.verdict is Verdict.CORRECT for rollout in group.rollouts]) for group in groups]),
            mode_N=np.array(modes),
            group_N=np.array(names),
        ),
        cE=ConfidenceLabels(
            p_N=np.array(confidences),
            y_N=np.array(correct_M, dtype=np.float64),
            mode_N=np.array(close_modes),
            group_N=np.array(close_names),
        ),
        forecasts={level: np.array([quantiles[level] for _, quantiles, _ in lengths]) for level in levels},
        used_N=np.array([used for *_, used in lengths], dtype=np.float64),
        used_group_N=np.array([name for name, *_ in lengths]),
    )


def fit_calibration(
    predicted: Predictions, *, method: Method, digests: Digests, today: date, seed: int = 0, draws: int = 1_000
) -> Calibration:
    """Fit the maps of both confidences and the factors of the budget. Raises ScoreError for too few labels, or labels of one kind."""
    return Calibration(
        date=today,
        c0=fit_confidence(predicted.c0, method=method, seed=seed, draws=draws),
        cE=fit_confidence(predicted.cE, method=method, seed=seed, draws=draws),
        budget=fit_budget(predicted.forecasts, predicted.used_N, predicted.used_group_N, seed=seed, draws=draws),
        policy_digest=digests.policy,
        heads_digest=digests.heads,
        tokenizer_digest=digests.tokenizer,
    )


def cross_fitted(predicted: Predictions, calibration: Calibration, *, method: Method, seed: int = 0) -> Predictions:
    """Return calibrated predictions of the labels that `calibration` was fitted to: each by a fit without its program."""

    def confidence(labels: ConfidenceLabels, fitted: ConfidenceCalibration) -> ConfidenceLabels:
        return replace(labels, p_N=cross_fitted_confidence(labels, method=method, modes=fitted.by_mode, seed=seed))

    return replace(
        predicted,
        c0=confidence(predicted.c0, calibration.c0),
        cE=confidence(predicted.cE, calibration.cE),
        forecasts={
            level: cross_fitted_budget(forecast_N, predicted.used_N, predicted.used_group_N, level, seed=seed)
            for level, forecast_N in predicted.forecasts.items()
        },
    )


def scores_of(predicted: Predictions, *, seed: int = 0, draws: int = 1_000) -> dict[str, Interval]:
    """Return every score of the heads, with a 95 % bootstrap interval that resamples whole programs.

    `c0_*`, `cE_*`: AUROC, ECE (15 bins of equal mass), Brier. `spearman`: predicted median against used think tokens of right
    answers. `coverage_*`: share of those within the quantile. nan where the labels do not decide a score; raises ScoreError where no
    answer is right.
    """
    if not predicted.used_N.size:
        raise ScoreError(
            "Cannot score budgets: no correct answer finished its reasoning without being cut. Use more tasks (`--tasks`), or none of the "
            "held-out set (`--heldout 0`)"
        )
    found = {}
    for name, labels in (("c0", predicted.c0), ("cE", predicted.cE)):
        for score, function in (("auroc", auroc), ("ece", ece), ("brier", brier)):
            found[f"{name}_{score}"] = interval(function, [labels.p_N, labels.y_N], seed=seed, draws=draws, groups=labels.group_N)
    groups = predicted.used_group_N
    levels = sorted(predicted.forecasts)
    found["spearman"] = interval(
        spearman, [predicted.forecasts[levels[0]], predicted.used_N], seed=seed, draws=draws, groups=groups
    )
    for level in levels:
        found[f"coverage_{round(100 * level)}"] = interval(
            quantile_coverage, [predicted.forecasts[level], predicted.used_N], seed=seed, draws=draws, groups=groups
        )
    return found
