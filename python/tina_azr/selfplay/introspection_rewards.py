"""Introspection's part of a proposer's reward, by rules of a forecast that was made before the task was solved.

To add a rule, write a function of the form `BonusRule`, add it to `BONUS_RULES`, and name it in `introspection.reward`.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from tina_azr.config import IntrospectionConfig, choose
from tina_azr.introspection.types import Forecast, Plan
from tina_azr.selfplay.types import ProposalRecord, RolloutGroup
from tina_azr.tasks.types import Task

LOWEST, HIGHEST = -0.25, 1.0


def calibration_surprise(pass_rate: float, c0: float, group_size: int) -> float:
    """Return the debiased squared error of the forecast `c0` for mixed outcomes, else 0. In [-0.25, 1].

    E (p_hat - c0)^2 is (p - c0)^2 + p (1 - p) / G, and p_hat (1 - p_hat) / (G - 1) estimates the second term without bias, so pure
    noise earns nothing on average. Impossible and trivial tasks earn 0, and with that noise earns slightly less than nothing:
    -(p^2 (1 - p)^G + (1 - p)^2 p^G) where c0 = p.
    """
    if not 0.0 < pass_rate < 1.0:
        return 0.0
    value = (pass_rate - c0) ** 2 - pass_rate * (1.0 - pass_rate) / (group_size - 1)
    return min(HIGHEST, max(LOWEST, value))


def seed_legacy(forecast: Forecast, *, min_think_tokens: int) -> float:
    """Return the founding document's score of a self-report, kept for comparison. In [0.2, 1.8].

    It is high for `stop`, low confidence and a tiny budget, whatever the outcome of the task.
    """
    plan = {Plan.STOP: 1.0, Plan.VERIFY: 0.5}.get(forecast.plan_choice, 0.2)
    return plan + 0.5 * (forecast.confidence_before < 0.5) + 0.3 * (forecast.budget_quantiles[0.8] <= min_think_tokens + 4)


class CrossFitted(Protocol):
    """Confidence heads that forecast only tasks whose programs they never learn from."""

    @property
    def ready(self) -> bool:
        """Whether they have learned from enough labels to be used in a reward."""
        ...

    def c0(self, states_NLH: NDArray[np.float32], tasks_N: Sequence[Task]) -> list[float]:
        """Return the raw confidence before reasoning, of each task by the head that does not know its program."""
        ...


BonusRule = Callable[
    [Sequence[ProposalRecord], Sequence[RolloutGroup], IntrospectionConfig, CrossFitted | None], list[ProposalRecord]
]
"""Proposals that became tasks, with the solved groups of these -> the proposals with what the rule adds."""


def add_introspection(
    records: Sequence[ProposalRecord],
    groups: Sequence[RolloutGroup | None],
    settings: IntrospectionConfig,
    cross_fitted: CrossFitted | None,
) -> list[ProposalRecord]:
    """Add the configured bonus to proposals that became tasks. With coefficient 0, or `off`, the records stay as they are.

    `groups`: the solved group of each proposal; None for a rejected one.
    """
    solved = {number: group for number, group in enumerate(groups) if group is not None}
    add = choose(BONUS_RULES, settings.reward, "introspection.reward")
    if not settings.coeff or not solved or add is None:
        return list(records)
    changed = add([records[number] for number in solved], list(solved.values()), settings, cross_fitted)
    added = dict(zip(solved, changed, strict=True))
    return [added.get(number, record) for number, record in enumerate(records)]


def _add_calibration_error(
    records: Sequence[ProposalRecord],
    groups: Sequence[RolloutGroup],
    settings: IntrospectionConfig,
    cross_fitted: CrossFitted | None,
) -> list[ProposalRecord]:
    if cross_fitted is None or not cross_fitted.ready:
        return list(records)
    states = np.stack([group.prompt_states_LH for group in groups if group.prompt_states_LH is not None])
    forecasts = cross_fitted.c0(states, [group.task for group in groups])
    raw = [calibration_surprise(group.pass_rate, p, len(group.rollouts)) for group, p in zip(groups, forecasts, strict=True)]
    values = centred(raw, [group.task.mode for group in groups])
    return [
        _with_bonus(record, record.rollout.reward + settings.coeff * value, value)
        for record, value in zip(records, values, strict=True)
    ]


def _add_legacy(
    records: Sequence[ProposalRecord],
    groups: Sequence[RolloutGroup],
    settings: IntrospectionConfig,
    cross_fitted: CrossFitted | None,
) -> list[ProposalRecord]:
    scores = [
        seed_legacy(group.forecast, min_think_tokens=settings.min_think_tokens) if group.forecast is not None else 0.0
        for group in groups
    ]
    # It scales learnability, so it scales what is earned, not what a fault costs.
    return [
        _with_bonus(record, record.rollout.reward * (1.0 + settings.coeff * score), score)
        if record.rollout.reward > 0.0
        else record
        for record, score in zip(records, scores, strict=True)
    ]


BONUS_RULES: dict[str, BonusRule | None] = {
    "off": None,
    "calibration_surprise": _add_calibration_error,
    "seed_legacy": _add_legacy,
}


def centred(values: Sequence[float], modes: Sequence[str]) -> list[float]:
    """Return the values less the mean of their mode, so that no mode is paid for being harder to forecast."""
    means = {mode: float(np.mean([v for v, other in zip(values, modes, strict=True) if other == mode])) for mode in set(modes)}
    return [value - means[mode] for value, mode in zip(values, modes, strict=True)]


def _with_bonus(record: ProposalRecord, reward: float, bonus: float) -> ProposalRecord:
    return replace(record, rollout=replace(record.rollout, reward=reward), introspection_bonus=bonus)
