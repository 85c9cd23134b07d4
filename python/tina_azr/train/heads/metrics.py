"""Scores of the primary heads' forecasts of one step. They were made before the step's outcomes, so nothing here is fitted."""

from collections.abc import Sequence

import numpy as np

from tina_azr.introspection.scores import auroc, brier, spearman
from tina_azr.introspection.types import Plan
from tina_azr.selfplay.plan_probes import plan_target
from tina_azr.selfplay.types import Episode, RolloutGroup
from tina_azr.tasks.types import Verdict
from tina_azr.train.heads.learner import HeadReport


def introspection_metrics(episode: Episode, report: HeadReport | None) -> dict[str, float | None] | None:
    """Return scores by name; None for a run without heads, and None for a score that the step does not decide.

    `c0`, `cE`, `budget`: mean forecasts, next to `accuracy` and `used` (reasoning tokens of correct answers). `*_brier`, `*_auroc`: against
    the step's outcomes. `coverage_50`, `_80`, `_95`: share of right answers within that quantile. `plan_*`: mean probabilities;
    `stop_right`: of the probed tasks, the share for which thinking was not needed. `surprise`: mean introspection bonus of a proposal.
    `labels`, `*_loss`: of the heads' update.
    """
    if report is None:
        return None
    groups = [group for group in episode.groups if group.forecast is not None]
    forecasts = [group.forecast for group in groups if group.forecast is not None]
    rollouts = [rollout for group in groups for rollout in group.rollouts if rollout.confidence_after is not None]
    correct = [float(rollout.verdict is Verdict.CORRECT) for rollout in rollouts]
    at_close = [rollout.confidence_after for rollout in rollouts if rollout.confidence_after is not None]
    rates = [group.pass_rate for group in groups]
    c0 = [forecast.confidence_before for forecast in forecasts]
    bonuses = [record.introspection_bonus for record in episode.proposals if record.introspection_bonus is not None]
    probed = [plan_target(group.pass_rate, group.probe)[-1] for group in groups if group.probe is not None]
    return {
        "labels": float(report.labels),
        "accuracy": _mean(rates),
        "c0": _mean(c0),
        "c0_brier": brier(c0, rates) if groups else None,
        "c0_auroc": _auroc(c0, rates),
        "cE": _mean(at_close),
        "cE_brier": brier(at_close, correct) if rollouts else None,
        "cE_auroc": _auroc(at_close, correct),
        "budget": _mean([forecast.budget_quantiles[0.8] for forecast in forecasts]),
        **_lengths(groups),
        **{f"plan_{plan}": _mean([forecast.plan[plan] for forecast in forecasts]) for plan in Plan},
        "stop_right": _mean(probed),
        "surprise": _mean(bonuses),
        "c0_loss": report.c0_loss,
        "cE_loss": report.cE_loss,
        "budget_loss": report.budget_loss,
        "plan_loss": report.plan_loss,
    }


def _lengths(groups: Sequence[RolloutGroup]) -> dict[str, float | None]:
    """Compare the reasoning tokens of correct answers with their forecasts. Groups under a predicted limit do not count: it cuts them."""
    pairs = [
        (group.forecast.budget_quantiles, rollout.completion.think_tokens)
        for group in groups
        if group.forecast is not None and not group.budgeted
        for rollout in group.rollouts
        if rollout.verdict is Verdict.CORRECT and not rollout.completion.forced_close
    ]
    used = [float(length) for _, length in pairs]
    medians = [quantiles[0.5] for quantiles, _ in pairs]
    varied = len(set(used)) > 1 and len(set(medians)) > 1
    return {
        "used": _mean(used),
        "spearman": spearman(medians, used) if varied else None,
        **{
            f"coverage_{round(100 * level)}": _mean([float(length <= quantiles[level]) for quantiles, length in pairs])
            for level in (0.5, 0.8, 0.95)
        },
    }


def _auroc(scores: Sequence[float], outcomes: Sequence[float]) -> float | None:
    return auroc(scores, outcomes) if 0.0 < sum(outcomes) < len(outcomes) else None


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None
