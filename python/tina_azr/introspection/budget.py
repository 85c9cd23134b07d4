"""Think budgets: from a forecast and a request to the budget (target) and the think limit (hard cap), in reasoning tokens."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from tina_azr.config import IntrospectionConfig
from tina_azr.errors import ConfigError, ServeError
from tina_azr.introspection.types import BudgetDecision, BudgetSource

if TYPE_CHECKING:  # imports torch; the arithmetic here does without
    from tina_azr.model.loading import Policy

EFFORT_QUANTILES: Mapping[str, float] = {"low": 0.5, "medium": 0.8, "high": 0.95}
"""Reasoning effort -> quantile of the forecast that is the budget."""


_DEFAULTS = IntrospectionConfig()


class SmallBudget(StrEnum):
    """Treatment of a requested budget that is far below what the prompt needs."""

    RAISE = "raise"
    """It is raised to `BudgetSettings.small_share` of the predicted median, with a warning."""
    WARN = "warn"
    """It is kept, with a warning."""
    KEEP = "keep"
    """It is kept, without a warning."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetSettings:
    """Rules for budgets and think limits. Raises ConfigError for values that contradict one another."""

    quantile: float = 0.8
    """Quantile of the forecast that is the budget, if the request names none."""
    slack: float = _DEFAULTS.slack
    """The think limit is budget * (1 + slack), unless the forecast gives a better slack."""
    slack_min: float = 0.1
    """Least slack that is taken from a forecast."""
    slack_max: float = 1.0
    """Most slack that is taken from a forecast."""
    slack_quantile: float | None = 0.95
    """Quantile of the forecast that is the think limit of a predicted budget, within the two bounds; None: always use `slack`."""
    min_think_tokens: int = _DEFAULTS.min_think_tokens
    """Smallest budget, unless a request asks for 0. The default is the setting's; see there why it is 0."""
    max_think_tokens: int = _DEFAULTS.max_think_tokens
    """Largest budget, and the budget if neither forecast nor request gives one."""
    budget_clip: int | None = None
    """Tighter cap for predicted budgets; None means `max_think_tokens`."""
    answer_reserve: int = 256
    """Part of `max_tokens` that is reserved for the answer, or half of `max_tokens` if that is less."""
    small_budget: SmallBudget = SmallBudget.RAISE
    """Treatment of a requested budget below `small_share` of the predicted median."""
    small_share: float = 0.15
    """Below about this share of the natural length, reasoning that is cut off continues in the answer."""

    def __post_init__(self) -> None:
        for problem in settings_problems(self):
            raise ConfigError(problem)


def configured_budget(section: IntrospectionConfig) -> BudgetSettings:
    """Return the budget settings of a configuration."""
    return BudgetSettings(slack=section.slack, min_think_tokens=section.min_think_tokens, max_think_tokens=section.max_think_tokens)


def fitting_budget(settings: BudgetSettings, policy: "Policy") -> BudgetSettings:
    """Return the settings with think tokens and an answer reserve that fit a model of few positions.

    Raises ConfigError if `min_think_tokens` does not fit the model.
    """
    positions = int(policy.module.config.max_position_embeddings)
    room = positions // 5
    if settings.min_think_tokens > room:
        raise ConfigError(
            f"introspection.min_think_tokens {settings.min_think_tokens}: a model of {positions:,} positions has room for reasoning of "
            f"at most {room}. Give fewer."
        )
    return replace(
        settings,
        max_think_tokens=min(settings.max_think_tokens, room),
        answer_reserve=min(settings.answer_reserve, positions // 8),
    )


def settings_problems(settings: BudgetSettings) -> list[str]:
    """Return one sentence for each setting that is out of bounds."""
    quantiles = (("quantile", settings.quantile), ("slack_quantile", settings.slack_quantile))
    least = {"min_think_tokens": 0, "max_think_tokens": 1, "budget_clip": 1, "answer_reserve": 0}
    numbers = {key: getattr(settings, key) for key in least}
    problems = [f"{key} is {q:g}, but must lie between 0 and 1." for key, q in quantiles if q is not None and not 0 < q < 1]
    problems += [
        f"{key} is {value}, but must be at least {least[key]}."
        for key, value in numbers.items()
        if value is not None and value < least[key]
    ]
    if not 0 <= settings.slack < math.inf:
        problems.append(f"slack is {settings.slack:g}, but must be a finite number that is not negative.")
    if not 0 <= settings.slack_min <= settings.slack_max < math.inf:
        problems.append(
            f"slack_min {settings.slack_min:g} and slack_max {settings.slack_max:g} must be finite, 0 or more, and in order."
        )
    if not 0 <= settings.small_share < 1:
        problems.append(f"small_share is {settings.small_share:g}, but must be at least 0 and below 1.")
    if settings.min_think_tokens > settings.max_think_tokens:
        problems.append(f"min_think_tokens {settings.min_think_tokens} is above max_think_tokens {settings.max_think_tokens}.")
    return problems


def decide_budget(
    quantiles: Mapping[float, float] | None,
    *,
    budget_tokens: int | None = None,
    budget_quantile: float | None = None,
    max_tokens: int,
    closing_tokens: int,
    settings: BudgetSettings,
) -> BudgetDecision:
    """Return budget and think limit of one prompt.

    `quantiles` is the (calibrated) forecast, rising, None without heads. The think limit always leaves room in `max_tokens` for the
    closing ids and the answer reserve, at most half of `max_tokens`. Raises ServeError for a request that contradicts itself.
    """
    wanted, source, warning = _budget_before_bounds(quantiles, budget_tokens, budget_quantile, settings)
    if wanted > 0:
        if wanted > settings.max_think_tokens:
            warning = f"{wanted} think tokens were requested; the maximum is {settings.max_think_tokens}, so the budget was lowered to it."
        wanted = min(max(wanted, settings.min_think_tokens), settings.max_think_tokens)
    think_limit = math.ceil(_without_float_noise(wanted * (1 + _slack(quantiles, wanted, source, settings))))
    # Few tokens in all are shared: a reserve that takes all of them would leave no reasoning.
    reserve = min(settings.answer_reserve, (max_tokens + 1) // 2)
    room = max(max_tokens - reserve - closing_tokens, 0)
    if think_limit > room:
        cut = (
            f"The think limit was lowered from {think_limit} to {room} think tokens: of {max_tokens} tokens in all, {reserve} are kept for "
            f"the answer and {closing_tokens} for closing the reasoning. More max_tokens leave more room."
        )
        warning = cut if warning is None else f"{warning} {cut}"
    think_limit = min(think_limit, room)
    budget = min(wanted, think_limit)
    if warning is None and source is BudgetSource.PREDICTED and settings.small_budget is not SmallBudget.KEEP:
        warning = _low_budget_warning(budget, quantiles, settings)
    return BudgetDecision(budget=budget, think_limit=think_limit, source=source, warning=warning)


def _budget_before_bounds(
    quantiles: Mapping[float, float] | None, tokens: int | None, quantile: float | None, settings: BudgetSettings
) -> tuple[int, BudgetSource, str | None]:
    """Return the budget before its bounds, its source, and a warning if there is one."""
    if tokens is not None and quantile is not None:
        raise ServeError("a request gives budget_tokens or budget_quantile, not both")
    if tokens is not None:
        if tokens < 0:
            raise ServeError(f"budget_tokens is {tokens}, but must be 0 (answer without thinking) or more")
        return _guard_small_budget(tokens, quantiles, settings)
    if quantiles is None:
        warning = None if quantile is None else "There are no heads to forecast with: budget_quantile has no effect."
        return settings.max_think_tokens, BudgetSource.DEFAULT, warning
    chosen = settings.quantile if quantile is None else quantile
    if chosen not in quantiles:
        raise ServeError(
            f"there is no budget quantile {chosen:g}; the heads forecast {', '.join(f'{q:g}' for q in sorted(quantiles))}"
        )
    most = settings.max_think_tokens if settings.budget_clip is None else settings.budget_clip
    # At least one token: only a request may ask for no reasoning.
    return max(math.ceil(_without_float_noise(min(quantiles[chosen], most))), 1), BudgetSource.PREDICTED, None


def _guard_small_budget(
    tokens: int, quantiles: Mapping[float, float] | None, settings: BudgetSettings
) -> tuple[int, BudgetSource, str | None]:
    median = None if quantiles is None else quantiles.get(0.5)
    if tokens == 0 or median is None or settings.small_budget is SmallBudget.KEEP:
        return tokens, BudgetSource.REQUESTED, None
    needed = math.ceil(_without_float_noise(min(settings.small_share * median, settings.max_think_tokens)))
    if tokens >= needed:
        return tokens, BudgetSource.REQUESTED, None
    small = f"A budget of {tokens} think tokens is below {settings.small_share:.0%} of the {median:.0f} that are predicted"
    if settings.small_budget is SmallBudget.WARN:
        return tokens, BudgetSource.REQUESTED, f"{small}: the answer may suffer, and contain reasoning."
    return needed, BudgetSource.REQUESTED, f"{small}: it was raised to {needed}."


def _low_budget_warning(budget: int, quantiles: Mapping[float, float] | None, settings: BudgetSettings) -> str | None:
    median = (quantiles or {}).get(0.5, 0.0)
    if budget >= settings.small_share * median:
        return None
    return (
        f"The settings allow {budget} think tokens, below {settings.small_share:.0%} of the {median:.0f} that are predicted: the answer "
        "may suffer, and contain reasoning. Raise max_think_tokens or budget_clip."
    )


def _slack(quantiles: Mapping[float, float] | None, budget: int, source: BudgetSource, settings: BudgetSettings) -> float:
    # A requested budget uses the constant slack. The forecast's tail would give a small request the largest slack.
    tail = None if quantiles is None or settings.slack_quantile is None else quantiles.get(settings.slack_quantile)
    if source is not BudgetSource.PREDICTED or tail is None:
        return settings.slack
    return min(max(tail / budget - 1, settings.slack_min), settings.slack_max)


def _without_float_noise(tokens: float) -> float:
    # 100 * 1.1 is 110.00000000000001, which must not be rounded up to 111.
    return round(tokens, 9)
